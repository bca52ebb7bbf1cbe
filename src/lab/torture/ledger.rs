//! A record of the sent messages and their answers, which the proof compares with the deliveries.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::lab::simulator::{Answer, Expect, Planned, Session};

/// The longest latency that is recorded.
const LONGEST_MS: u64 = 120_000;

/// The record of everything that was sent so far.
pub(super) struct Ledger(Mutex<Sent>);

/// The sent messages and their answers.
pub(super) struct Sent {
    /// When the run began.
    pub(super) start: Instant,
    /// The sessions that may be delivered.
    pub(super) sessions: HashMap<String, SentSession>,
    /// Authentic bodies that are no notification: the number sent, and the number answered 400.
    pub(super) malformed: u64,
    pub(super) quarantined: u64,
    /// The number of requests by answer.
    pub(super) answers: BTreeMap<String, u64>,
    /// The latencies of requests that were answered 200, in milliseconds.
    pub(super) latency: Histogram<u64>,
    /// Failed requests that need a fault at that time as an explanation.
    pub(super) failures: Vec<Failure>,
    /// Answers that nothing can explain.
    pub(super) wrong: Vec<String>,
}

/// The messages of one session.
pub(super) struct SentSession {
    /// The session as the vendor's API has it.
    pub(super) session: Session,
    /// The sent bodies; the same notification may be sent in different bytes.
    pub(super) bodies: HashSet<String>,
    /// The event ids in the 200 answers.
    pub(super) acknowledged: HashSet<String>,
    /// Whether the session was registered with a receiver. If it has no body, its notification is never sent.
    pub(super) is_expected: bool,
}

/// The value that is delivered instead of a notification that never came.
pub(super) const NO_BODY: &str = "null";

impl SentSession {
    /// Whether the session's notification was dropped.
    pub(super) fn is_dropped(&self) -> bool {
        self.bodies.contains(NO_BODY)
    }

    /// Whether the session must be delivered.
    pub(super) fn is_promised(&self) -> bool {
        !self.acknowledged.is_empty() || (self.is_dropped() && self.is_expected)
    }
}

/// A request that a receiver did not accept.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// The receiver.
    pub(super) instance: usize,
    /// The period in which the receiver had the request.
    pub(super) from: Instant,
    pub(super) to: Instant,
    pub(super) how: Refused,
}

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was answered 503.
    Unavailable,
    /// There was no complete answer, with the reason.
    Unanswered(String),
    /// There was no answer until the sender's timeout. No fault explains this, since the death of a process is noticed
    /// at once.
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

    /// Records a message before it is sent. From now on it may be stored and delivered, whatever the answer is.
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

    /// Records a session whose notification is dropped. Once it is registered, it may be recovered and delivered.
    pub(super) fn dropping(&self, session: &Session) {
        let entry = SentSession {
            session: session.clone(),
            bodies: HashSet::from([NO_BODY.to_owned()]),
            acknowledged: HashSet::new(),
            is_expected: false,
        };
        self.lock().sessions.insert(session.id.clone(), entry);
    }

    /// Records that a receiver has accepted the registration of a session.
    pub(super) fn expected(&self, session: &str) {
        if let Some(entry) = self.lock().sessions.get_mut(session) {
            entry.is_expected = true;
        }
    }

    /// Records a receiver's answer.
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
                    // Without the id, neither the sender nor the proof can find the event.
                    _ => sent
                        .wrong
                        .push(format!("{} was answered 200 without an id", session.id)),
                }
            }
            // A request that is not authentic is refused before anything would be stored, so a 503 is not expected for
            // it.
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

    /// Records that a receiver gave no answer. If no other receiver accepted the request, the vendor would have lost
    /// the notification, and nothing is promised about it; but there must be a reason.
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

    /// The number of requests that were answered 200.
    pub(super) fn acknowledged(&self) -> u64 {
        self.lock().latency.len()
    }

    /// Locks the record.
    pub(super) fn lock(&self) -> MutexGuard<'_, Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    /// A quantile of the latencies of requests that were answered 200.
    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_millis(self.latency.value_at_quantile(quantile))
    }

    /// The longest of these latencies.
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

    /// The ledger's wrong answers and failures after one message of this kind with this answer.
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
