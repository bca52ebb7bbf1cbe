//! What was sent and what it was answered: the one side of the proof.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::lab::simulator::{Answer, Expect, Planned, Session};

/// Longest answer time that is told apart.
const LONGEST_MS: u64 = 120_000;

/// Everything that was sent so far.
pub(super) struct Ledger(Mutex<Sent>);

/// What was sent.
pub(super) struct Sent {
    /// When it began.
    pub(super) start: Instant,
    /// What may be delivered, by session.
    pub(super) sessions: HashMap<String, SentSession>,
    /// Authentic bodies that are no notification: how many were sent, and how many of them answered 400.
    pub(super) malformed: u64,
    pub(super) quarantined: u64,
    /// Requests by what they were answered.
    pub(super) answers: BTreeMap<String, u64>,
    /// Times of all that were answered 200, in milliseconds.
    pub(super) latency: Histogram<u64>,
    /// Requests that only a fault of that moment explains.
    pub(super) failures: Vec<Failure>,
    /// Answers that nothing explains.
    pub(super) wrong: Vec<String>,
}

/// What was sent of one session.
pub(super) struct SentSession {
    /// As the vendor knows it.
    pub(super) session: Session,
    /// The bodies, as the same notification may come in other bytes.
    pub(super) bodies: HashSet<String>,
    /// The ids that were answered with a 200.
    pub(super) acknowledged: HashSet<String>,
    /// Whether a receiver was told to expect it. Of one without a body no notification comes.
    pub(super) is_expected: bool,
}

/// What comes out in place of a notification that never came.
pub(super) const NO_BODY: &str = "null";

impl SentSession {
    /// Whether its notification was dropped on its way.
    pub(super) fn is_dropped(&self) -> bool {
        self.bodies.contains(NO_BODY)
    }

    /// Whether it has to come out.
    pub(super) fn is_promised(&self) -> bool {
        !self.acknowledged.is_empty() || (self.is_dropped() && self.is_expected)
    }
}

/// A request that a receiver did not take.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// The receiver.
    pub(super) instance: usize,
    /// From when to when it had the request.
    pub(super) from: Instant,
    pub(super) to: Instant,
    pub(super) how: Refused,
}

/// How a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was answered 503.
    Unavailable,
    /// There was no whole answer, and why.
    Unanswered(String),
    /// There was none until the sender gave up waiting. A process that dies is noticed at once, so no fault is an excuse.
    Silent,
}

impl Ledger {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(Sent {
            start: Instant::now(),
            sessions: HashMap::new(),
            malformed: 0,
            quarantined: 0,
            answers: BTreeMap::new(),
            latency: Histogram::new_with_bounds(1, LONGEST_MS, 3)?,
            failures: Vec::new(),
            wrong: Vec::new(),
        })))
    }

    /// Notes what is about to be sent: from now on it may be kept and delivered, whatever is answered.
    pub(super) fn sending(&self, planned: &Planned) {
        let mut sent = self.lock();
        match (planned.expect, &planned.session) {
            (Expect::Accepted | Expect::Duplicate, Some(session)) => {
                let entry = sent.sessions.entry(session.id.clone());
                let body = String::from_utf8_lossy(&planned.message.body).into_owned();
                entry
                    .or_insert_with(|| SentSession {
                        session: session.clone(),
                        bodies: HashSet::new(),
                        acknowledged: HashSet::new(),
                        is_expected: false,
                    })
                    .bodies
                    .insert(body);
            }
            (Expect::Malformed, _) => sent.malformed += 1,
            (Expect::Accepted | Expect::Duplicate | Expect::Unauthorized, _) => {}
        }
    }

    /// Notes a session whose notification is dropped: from when it is registered on it may be recovered and delivered.
    pub(super) fn dropping(&self, session: &Session) {
        let entry = SentSession {
            session: session.clone(),
            bodies: HashSet::from([NO_BODY.to_owned()]),
            acknowledged: HashSet::new(),
            is_expected: false,
        };
        self.lock().sessions.insert(session.id.clone(), entry);
    }

    /// Notes that a receiver has taken the registration of a session.
    pub(super) fn expected(&self, session: &str) {
        if let Some(entry) = self.lock().sessions.get_mut(session) {
            entry.is_expected = true;
        }
    }

    /// Notes a receiver's answer.
    pub(super) fn answered(
        &self,
        planned: &Planned,
        instance: usize,
        from: Instant,
        answer: &Answer,
    ) {
        let (mut sent, to) = (self.lock(), Instant::now());
        *sent.answers.entry(answer.label()).or_default() += 1;
        match (answer.status, planned.expect, &planned.session) {
            (200, Expect::Accepted | Expect::Duplicate, Some(session)) => {
                let took = u64::try_from(answer.latency.as_millis()).unwrap_or(LONGEST_MS);
                sent.latency.saturating_record(took.max(1));
                let entry = sent.sessions.get_mut(&session.id);
                match (id_in(&answer.body), entry) {
                    (Some(id), Some(entry)) => {
                        entry.acknowledged.insert(id);
                    }
                    // Nobody could ask for what it was kept as, the proof neither.
                    _ => sent
                        .wrong
                        .push(format!("{} was answered 200 without an id", session.id)),
                }
            }
            // What is not authentic is refused before anything is to be kept.
            (503, Expect::Accepted | Expect::Duplicate | Expect::Malformed, _) => {
                sent.failures.push(Failure {
                    instance,
                    from,
                    to,
                    how: Refused::Unavailable,
                });
            }
            (401, Expect::Unauthorized, _) => {}
            (400, Expect::Malformed, _) => sent.quarantined += 1,
            (status, _, _) => {
                let kind = planned.kind.as_str();
                sent.wrong.push(format!("{kind} was answered {status}"));
            }
        }
    }

    /// Notes that a receiver gave no answer. When no other took it the vendor would have lost it, and nothing is promised
    /// of it; but there must be a reason.
    pub(super) fn unanswered(&self, instance: usize, from: Instant, how: Refused) {
        let (mut sent, to) = (self.lock(), Instant::now());
        *sent.answers.entry("no answer".to_owned()).or_default() += 1;
        sent.failures.push(Failure {
            instance,
            from,
            to,
            how,
        });
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::lab::simulator::Plan;

    /// What the ledger has of one message of this kind that was answered so.
    fn answered(mix: &str, status: u16, body: &'static str) -> (Vec<String>, Vec<Failure>) {
        let ledger = Ledger::new().expect("a histogram");
        let planned = Plan::new(&mix.parse().expect("a mix"), 1).message(0);
        ledger.sending(&planned);
        let answer = Answer {
            status,
            body: Bytes::from_static(body.as_bytes()),
            latency: Duration::ZERO,
        };
        ledger.answered(&planned, 0, Instant::now(), &answer);
        let sent = ledger.lock();
        (sent.wrong.clone(), sent.failures.clone())
    }

    #[test]
    fn an_answer_that_the_message_does_not_explain_is_wrong() {
        for (mix, status, body) in [
            ("success=1", 500, ""),
            ("success=1", 401, ""),
            ("success=1", 200, r#"{"result":"accepted"}"#),
            ("success=1", 200, "oops"),
            ("bad-signature=1", 200, r#"{"id":"1"}"#),
            ("bad-signature=1", 503, ""),
            ("malformed=1", 200, r#"{"id":"1"}"#),
            ("malformed=1", 401, ""),
        ] {
            let (wrong, _) = answered(mix, status, body);
            assert_eq!(wrong.len(), 1, "{mix} {status} {body}");
        }
    }

    #[test]
    fn an_answer_that_the_message_explains_is_not_wrong_and_a_503_needs_a_fault() {
        for (mix, status, body) in [
            ("success=1", 200, r#"{"id":"1"}"#),
            ("bad-signature=1", 401, ""),
            ("malformed=1", 400, ""),
        ] {
            let (wrong, failures) = answered(mix, status, body);
            assert!(wrong.is_empty() && failures.is_empty(), "{mix} {wrong:?}");
        }
        for mix in ["success=1", "malformed=1"] {
            let (wrong, failures) = answered(mix, 503, "");
            assert!(wrong.is_empty(), "{mix} {wrong:?}");
            assert_eq!(failures[0].how, Refused::Unavailable);
        }
    }
}
