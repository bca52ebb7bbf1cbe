//! The demo's course: send everything, then wait until the receiver has nothing left to do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::StreamExt;
use futures_util::stream;

use super::stage::Stage;
use crate::domain::EventState;
use crate::journal::Stats;
use crate::lab::simulator::{Expect, Kind, Mix, Plan, Planned, Report, Sender};
use crate::terminal::note;
use crate::terminal::{Progress, TICK};

/// How many notifications are on their way at once.
const CONNECTIONS: usize = 8;

/// How long the receiver may make no headway before the demo gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was sent, and what it was answered.
#[derive(Default)]
pub(super) struct Played {
    /// By kind and answer: how many.
    pub(super) answers: BTreeMap<(Kind, String), u64>,
    /// All answers together, and how long they took.
    pub(super) report: Report,
    /// Whether the receiver came to rest in time.
    pub(super) came_to_rest: bool,
}

impl Played {
    /// How many were answered with this label.
    pub(super) fn answered(&self, expect: Expect) -> u64 {
        self.report
            .answers
            .get(expect.label())
            .copied()
            .unwrap_or(0)
    }

    /// How many of a kind were sent.
    pub(super) fn sent(&self, kind: Kind) -> u64 {
        self.of(kind).map(|(_, count)| count).sum()
    }

    /// What a kind was answered.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = (&str, u64)> {
        self.answers
            .iter()
            .filter(move |((of, _), _)| *of == kind)
            .map(|((_, answer), count)| (answer.as_str(), *count))
    }
}

/// Sends `count` notifications and waits for what becomes of them.
pub(super) async fn play(stage: &Stage, count: u64) -> anyhow::Result<Played> {
    note!("{count} signed notifications to {}", stage.webhook);
    let plan = Plan::new(&Mix::default(), rand::random()).with_base(stage.sdp_url.as_str());
    let messages: Vec<_> = plan.messages(count).collect();
    for session in messages
        .iter()
        .filter_map(|planned| planned.session.clone())
    {
        stage.sdp.add_session(session);
    }
    let events = messages
        .iter()
        .filter(|planned| planned.expect == Expect::Accepted)
        .count() as u64;

    let mut progress =
        Progress::new(&[("sent", count), ("followed", events), ("delivered", events)]);
    let sent = AtomicU64::new(0);
    let mut sending = std::pin::pin!(send(stage, &messages, &sent));
    let mut played = None;
    let mut tick = tokio::time::interval(TICK);
    let mut last = (0, Instant::now());
    loop {
        tokio::select! {
            done = &mut sending, if played.is_none() => played = Some(done?),
            _ = tick.tick() => {}
        }
        let standing = Standing::of(&stage.journal.stats().await?);
        let done = [
            sent.load(Ordering::Relaxed),
            standing.followed,
            standing.ended,
        ];
        progress.set(&done);
        let headway = done.iter().sum::<u64>();
        if headway != last.0 {
            last = (headway, Instant::now());
        }
        let came_to_rest = played.is_some() && standing.under_way == 0;
        if came_to_rest || last.1.elapsed() > PATIENCE {
            progress.finish();
            let Some(mut played) = played else {
                bail!("the receiver does not answer");
            };
            played.came_to_rest = came_to_rest;
            return Ok(played);
        }
    }
}

/// Sends the messages, several at once. Repetitions go last: one that overtook what it repeats would be the first.
async fn send(stage: &Stage, messages: &[Planned], sent: &AtomicU64) -> anyhow::Result<Played> {
    // A proxy of the environment has no business between two ports of this machine.
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()?;
    let sender = Sender::with_client(client, stage.webhook.clone(), stage.secret.as_bytes());
    let start = Instant::now();
    let mut played = Played::default();
    let (repeated, original): (Vec<_>, Vec<_>) = messages
        .iter()
        .partition(|planned| planned.expect == Expect::Duplicate);
    for part in [original, repeated] {
        let sender = &sender;
        let mut answers = stream::iter(part)
            .map(|planned| async move { (planned.kind, sender.send(&planned.message).await) })
            .buffer_unordered(CONNECTIONS);
        while let Some((kind, answer)) = answers.next().await {
            let label = match answer {
                Ok(answer) => {
                    played.report.answered(&answer);
                    answer.label()
                }
                Err(error) => {
                    let error = crate::net::describe(&error);
                    played.report.failed(&error);
                    format!("no answer: {error}")
                }
            };
            *played.answers.entry((kind, label)).or_default() += 1;
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
    played.report.elapsed = start.elapsed();
    Ok(played)
}

/// How far the receiver is.
struct Standing {
    under_way: u64,
    followed: u64,
    ended: u64,
}

impl Standing {
    fn of(stats: &Stats) -> Self {
        let count = |states: &[EventState]| {
            let counted = stats
                .events
                .iter()
                .filter(|(state, _)| states.contains(state));
            counted.map(|(_, count)| count).sum()
        };
        use EventState::{Dead, Delivering, Done, Received, Retrieving};
        Self {
            under_way: count(&[Received, Retrieving, Delivering]),
            followed: count(&[Delivering, Done, Dead]),
            ended: count(&[Done, Dead]),
        }
    }
}
