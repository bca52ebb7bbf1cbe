//! Runs the demo: sends everything, then waits until the receiver has nothing left to do.

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

/// The number of notifications that are sent concurrently.
const CONNECTIONS: usize = 8;

/// One in this many notifications is dropped before it arrives.
const ONE_OF: u64 = 10;

/// The number of sessions that one call registers.
const AT_ONCE: usize = 500;

/// How long the receiver may make no progress before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sent messages and their answers.
#[derive(Default)]
pub(super) struct Played {
    /// The number of messages by kind and answer.
    pub(super) answers: BTreeMap<(Kind, String), u64>,
    /// All answers together, with their latencies.
    pub(super) report: Report,
    /// The number of sessions whose notification was dropped.
    pub(super) dropped: u64,
    /// Whether the receiver finished all its work in time.
    pub(super) came_to_rest: bool,
}

impl Played {
    /// The number of messages with this answer.
    pub(super) fn answered(&self, expect: Expect) -> u64 {
        self.report
            .answers
            .get(expect.label())
            .copied()
            .unwrap_or(0)
    }

    /// The number of sent messages of a kind.
    pub(super) fn sent(&self, kind: Kind) -> u64 {
        self.of(kind).map(|(_, count)| count).sum()
    }

    /// The answers to a kind, with their numbers.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = (&str, u64)> {
        self.answers
            .iter()
            .filter(move |((of, _), _)| *of == kind)
            .map(|((_, answer), count)| (answer.as_str(), *count))
    }
}

/// Sends `count` notifications and waits until they are processed.
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

/// Selects `count` completed sessions without duplicates, whose notifications will be dropped. Returns these and the
/// rest.
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

/// Registers the sessions as a partner's software would when they begin, and for the dropped ones also reports their
/// end.
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

/// Sends the messages, several concurrently. Duplicates are sent last, since a duplicate that overtook its original
/// would be accepted as new.
async fn send(stage: &Stage, messages: &[Planned], sent: &AtomicU64) -> anyhow::Result<Played> {
    // No proxy from the environment must be used between two ports of this machine.
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

/// The progress of the receiver.
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
