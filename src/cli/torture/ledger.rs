//! What was sent and what it was answered: the one side of the proof.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::domain::SessionKind;
use crate::simulator::{Answer, Expect, Planned};

/// Longest answer time that is told apart.
const LONGEST_MS: u64 = 120_000;

/// Everything that was sent so far.
pub(super) struct Ledger(Mutex<Sent>);

/// What was sent.
pub(super) struct Sent {
    /// By session.
    pub(super) sessions: HashMap<String, SentSession>,
    /// Requests by what they were answered.
    pub(super) answers: std::collections::BTreeMap<String, u64>,
    /// Times of all that were answered 200, in milliseconds.
    pub(super) latency: Histogram<u64>,
    /// Answers that no fault explains.
    pub(super) wrong: Vec<String>,
}

/// What was sent of one session.
#[derive(Default)]
pub(super) struct SentSession {
    /// The bodies, as the same notification may come in other bytes.
    pub(super) bodies: HashSet<String>,
    /// The ids that were answered with a 200.
    pub(super) acknowledged: HashSet<String>,
    /// Whether its note can be fetched.
    pub(super) has_note: bool,
}

impl Ledger {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(Sent {
            sessions: HashMap::new(),
            answers: std::collections::BTreeMap::new(),
            latency: Histogram::new_with_bounds(1, LONGEST_MS, 3)?,
            wrong: Vec::new(),
        })))
    }

    /// Notes what is about to be sent: from now on it may be delivered, whatever is answered.
    pub(super) fn sending(&self, planned: &Planned) {
        let (Some(session), Expect::Accepted | Expect::Duplicate) =
            (&planned.session, planned.expect)
        else {
            return;
        };
        let mut sent = self.lock();
        let entry = sent.sessions.entry(session.id.clone()).or_default();
        entry
            .bodies
            .insert(String::from_utf8_lossy(&planned.message.body).into_owned());
        // A form-filling session has structured data and no note.
        entry.has_note = session.is_completed() && session.kind == SessionKind::Ambient;
    }

    /// Notes the answer.
    pub(super) fn answered(&self, planned: &Planned, answer: &Answer) {
        let mut sent = self.lock();
        *sent.answers.entry(answer.label()).or_default() += 1;
        let is_refusal = matches!(planned.expect, Expect::Unauthorized | Expect::Malformed);
        match (answer.status, &planned.session) {
            (200, Some(session)) if !is_refusal => {
                let took = u64::try_from(answer.latency.as_millis()).unwrap_or(LONGEST_MS);
                sent.latency.saturating_record(took.max(1));
                let id = id_in(&answer.body);
                let entry = sent.sessions.entry(session.id.clone()).or_default();
                entry.acknowledged.extend(id);
            }
            (503, _) => {}
            (401, _) if planned.expect == Expect::Unauthorized => {}
            (400, _) if planned.expect == Expect::Malformed => {}
            (status, _) => {
                let kind = planned.kind.as_str();
                sent.wrong.push(format!("{kind} was answered {status}"));
            }
        }
    }

    /// Notes that no answer came: the vendor would have lost it, and nothing is promised of it.
    pub(super) fn unanswered(&self) {
        *self
            .lock()
            .answers
            .entry("no answer".to_owned())
            .or_default() += 1;
    }

    /// How many were answered 200.
    pub(super) fn acknowledged(&self) -> u64 {
        self.lock().latency.len()
    }

    /// Looks at what was sent.
    pub(super) fn lock(&self) -> MutexGuard<'_, Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    /// A quantile of the times of what was answered 200.
    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_millis(self.latency.value_at_quantile(quantile))
    }

    /// The longest of them.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_millis(self.latency.max())
    }
}

fn id_in(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(body.get("id")?.as_str()?.to_owned())
}
