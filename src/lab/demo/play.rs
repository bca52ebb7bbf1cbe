//! The demo's course: send everything, then wait until the receiver has nothing left to do.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};

use super::stage::Stage;
use crate::domain::{EventState, ExpectedState};
use crate::journal::Stats;
use crate::lab::simulator::{Expect, Kind, Mix, Plan, Planned, Report, Sender};
use crate::terminal::note;
use crate::terminal::{Progress, TICK};

/// How many notifications are on their way at once.
const CONNECTIONS: usize = 8;

/// One of so many notifications is dropped on its way.
const ONE_OF: u64 = 10;

/// Sessions that are registered by one call.
const AT_ONCE: usize = 500;

/// How long the receiver may make no headway before the demo gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was sent, and what it was answered.
#[derive(Default)]
pub(super) struct Played {
    /// By kind and answer: how many.
    pub(super) answers: BTreeMap<(Kind, String), u64>,
    /// All answers together, and how long they took.
    pub(super) report: Report,
    /// Sessions whose notification was dropped on its way.
    pub(super) dropped: u64,
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
    let plan = Plan::new(&Mix::default(), rand::random()).with_base(stage.sdp_url.as_str());
    let all: Vec<_> = plan.messages(count).collect();
    for session in all.iter().filter_map(|planned| planned.session.clone()) {
        stage.sdp.add_session(session);
    }
    let events = all
        .iter()
        .filter(|planned| planned.expect == Expect::Accepted)
        .count() as u64;
    let (dropped, messages) = drop_some(all, count / ONE_OF);
    expect(stage, &dropped, &messages).await?;
    let (count, dropped) = (messages.len() as u64, dropped.len() as u64);
    note!(
        "{count} signed notifications to {}; {dropped} more are dropped on their way",
        stage.webhook
    );

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
        let standing = Standing::of(&stage.journal.records().stats().await?);
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
        let awaited = stage.journal.records().expected_stats().await?;
        let awaited = awaited.count(ExpectedState::Open) + awaited.count(ExpectedState::Polling);
        let came_to_rest = played.is_some() && standing.under_way == 0 && awaited == 0;
        if came_to_rest || last.1.elapsed() > PATIENCE {
            progress.finish();
            let Some(mut played) = played else {
                bail!("the receiver does not answer");
            };
            played.came_to_rest = came_to_rest;
            played.dropped = dropped;
            return Ok(played);
        }
    }
}

/// Takes out `count` completed sessions that nothing else repeats: those whose notification never arrives, and the rest.
fn drop_some(all: Vec<Planned>, count: u64) -> (Vec<Planned>, Vec<Planned>) {
    let mut named: HashMap<String, u32> = HashMap::new();
    for session in all.iter().filter_map(|planned| planned.session.as_ref()) {
        *named.entry(session.id.clone()).or_default() += 1;
    }
    let mut left = count;
    all.into_iter().partition(|planned| {
        let is_completed = matches!(
            planned.kind,
            Kind::Success | Kind::FormFilling | Kind::NoLinks
        );
        let is_named_once = planned
            .session
            .as_ref()
            .is_some_and(|session| named.get(&session.id) == Some(&1));
        let is_dropped = left > 0 && is_completed && is_named_once;
        left -= u64::from(is_dropped);
        is_dropped
    })
}

/// Registers the sessions as a partner's software would: when they begin, and those that are dropped when they end, too.
async fn expect(stage: &Stage, dropped: &[Planned], sent: &[Planned]) -> anyhow::Result<()> {
    let now = jiff::Timestamp::now().to_string();
    let said = |planned: &Planned, ended_at: Option<&str>| {
        let session = planned.session.as_ref()?;
        Some(json!({
            "session_id": session.id, "encounter_id": session.encounter_id, "ended_at": ended_at,
        }))
    };
    let begun = sent
        .iter()
        .filter(|planned| planned.expect == Expect::Accepted)
        .filter_map(|planned| said(planned, None));
    let ended = dropped
        .iter()
        .filter_map(|planned| said(planned, Some(&now)));
    let all: Vec<Value> = begun.chain(ended).collect();
    let token = std::fs::read_to_string(stage.token_file())
        .context("cannot read the token of the admin API")?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    for some in all.chunks(AT_ONCE) {
        client
            .post(format!("http://{}/api/v1/sessions", stage.admin))
            .bearer_auth(token.trim())
            .body(serde_json::to_vec(some)?)
            .send()
            .await?
            .error_for_status()
            .context("the receiver does not take the sessions")?;
    }
    Ok(())
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
