//! The notifications of a benchmark, made before anything is measured, and how they are sent.
//!
//! All are of completed sessions with six links. Judges no figure, but fails where an answer is not the expected one.

use std::sync::Arc;

use suki_receiver::lab::simulator::{Kind, Load, Message, Mix, Plan, Report};
use url::Url;

use super::receiver::SECRET;

/// Notifications, each of another session.
#[derive(Clone)]
pub(crate) struct Messages(Arc<[Message]>);

impl Messages {
    pub(crate) fn new(count: u64, seed: u64) -> Self {
        let mix = Mix::new([(Kind::Success, 1)]).expect("there is something in it");
        let plan = Plan::new(&mix, seed);
        Self(
            (0..count)
                .map(|number| plan.message(number).message)
                .collect(),
        )
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn get(&self, number: u64) -> &Message {
        &self.0[(number % self.count()) as usize]
    }

    /// Those from this one on, and none of those before.
    pub(crate) fn after(&self, first: u64) -> Self {
        Self(self.0[first as usize..].into())
    }

    /// Sends `count` of them and sees to it that each is accepted as new. `rate` 0 is as fast as they are answered.
    pub(crate) async fn send(
        &self,
        to: &Url,
        count: u64,
        connections: usize,
        rate: f64,
    ) -> anyhow::Result<Report> {
        let all = self.clone();
        Self::load(to, count, connections, rate, move |number| {
            all.get(number).clone()
        })
        .await
    }

    /// The same with the messages that `message` gives out when they are due.
    pub(crate) async fn load(
        to: &Url,
        count: u64,
        connections: usize,
        rate: f64,
        message: impl Fn(u64) -> Message + Send + Sync + 'static,
    ) -> anyhow::Result<Report> {
        let load = Load {
            url: to.clone(),
            secret: SECRET.as_bytes().to_vec(),
            count,
            rate,
            connections,
        };
        let report = load.run(message, Arc::default()).await?;
        let accepted = report.answers.get("200 accepted").copied().unwrap_or(0);
        anyhow::ensure!(
            accepted == count,
            "not every notification was accepted:\n{report}"
        );
        Ok(report)
    }
}
