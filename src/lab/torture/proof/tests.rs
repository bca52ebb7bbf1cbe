//! Tests that the proof detects what went wrong, and nothing else.

use std::time::{Duration, Instant};

use super::super::balance::Balance;
use super::super::deliveries::{Content, Delivered, Resource};
use super::super::fault::Fault;
use super::super::history::Act;
use super::super::ledger::Ledger;
use super::*;
use crate::lab::simulator::{Options, Session};

const BODY: &str = r#"{"_links":{},"session_id":"a","status":"success"}"#;

/// The evidence of a run, which a test changes.
struct Known {
    ledger: Ledger,
    sdp: Sdp,
    got: Deliveries,
    is_counted: bool,
    balance: Balance,
    acts: Vec<Act>,
    findings: Vec<String>,
    ends: Vec<String>,
    is_shared: bool,
}

/// A run without breaches: one notification that was acknowledged and correctly delivered, and one that was
/// quarantined.
fn well() -> Known {
    let (ledger, sdp) = (
        Ledger::new().expect("a histogram"),
        Sdp::new(&Options::default()),
    );
    let session = Session::ambient("a").in_encounter("e");
    sdp.add_session(session.clone());
    sdp.add_session(Session::ambient("b"));
    let mut sent = ledger.lock();
    let start = sent.start;
    (sent.malformed, sent.quarantined) = (1, 1);
    sent.latency.saturating_record(1);
    let served = sdp.served(&session);
    let known = SentSession {
        session,
        bodies: [BODY.to_owned()].into(),
        acknowledged: ["1".to_owned()].into(),
        is_expected: false,
    };
    sent.sessions.insert("a".to_owned(), known);
    drop(sent);
    let delivered = Delivered {
        content: Content {
            r#type: "ai.suki.session.completed".to_owned(),
            session: "a".to_owned(),
            notification: BODY.to_owned(),
            status: Some("completed".to_owned()),
            resources: served
                .into_iter()
                .map(|one| Resource::new(one.group, one.href, 200, &one.body))
                .collect(),
            missing: Vec::new(),
        },
        is_always_the_same: true,
        times: 1,
        denied: 0,
        first: start,
        last: start,
    };
    Known {
        ledger,
        sdp,
        got: [("1".to_owned(), delivered)].into(),
        is_counted: true,
        balance: Balance {
            done: 1,
            quarantined: 1,
            ..Balance::default()
        },
        acts: Vec::new(),
        findings: Vec::new(),
        ends: Vec::new(),
        is_shared: false,
    }
}

/// The rules that are broken after a change to a run without breaches.
fn broken(change: impl FnOnce(&mut Known)) -> Vec<String> {
    let mut known = well();
    change(&mut known);
    let rules = rules(Evidence {
        sent: &known.ledger.lock(),
        history: &History::new(known.acts),
        sdp: &known.sdp,
        sinks: &[Sink {
            name: "x",
            got: known.got,
            is_counted: known.is_counted,
        }],
        balance: known.balance,
        findings: known.findings,
        ends: known.ends,
        is_shared: known.is_shared,
    });
    let broken = rules.into_iter().filter(|rule| !rule.holds());
    broken.map(|rule| rule.text).collect()
}

const NOTHING: [&str; 0] = [];
const REFUSAL: &str = "every refusal is one that a fault of that moment explains";
const INTACT: &str = "nothing was delivered to x that was not sent, and all of it intact";
const REPEATED: &str = "nothing came to x more often than at-least-once allows";
const BALANCE: &str = "the balance is zero";

impl Known {
    fn one(&mut self) -> &mut Delivered {
        self.got.get_mut("1").expect("the one delivery")
    }

    fn content(&mut self) -> &mut Content {
        &mut self.one().content
    }

    /// Adds another event like the first one.
    fn another(&mut self, session: &str) {
        let mut other = self.one().clone();
        other.content.session = session.to_owned();
        self.got.insert("2".to_owned(), other);
        self.balance.done += 1;
    }

    /// The time this many seconds after the beginning.
    fn at(&self, seconds: u64) -> Instant {
        self.ledger.lock().start + Duration::from_secs(seconds)
    }

    /// Adds a fault of the first receiver between two times, in seconds.
    fn act(&mut self, fault: Fault, from: u64, to: u64) {
        let (from, to) = (self.at(from), self.at(to));
        self.acts.push(Act {
            fault,
            instance: 0,
            from,
            to,
        });
    }

    /// Adds a request that a receiver did not accept, ten seconds after the beginning.
    fn refused(&mut self, instance: usize, how: Refused) {
        let failure = Failure {
            instance,
            from: self.at(10),
            to: self.at(10),
            how,
        };
        self.ledger.lock().failures.push(failure);
    }

    fn unanswered(&mut self, instance: usize) {
        self.refused(instance, Refused::Unanswered("reset".to_owned()));
    }
}

#[test]
fn all_holds_where_all_is_well() {
    assert_eq!(broken(|_| {}), NOTHING);
}

#[test]
fn what_was_acknowledged_and_not_delivered_or_delivered_as_two_is_found() {
    let lost = broken(|known| {
        known.got.clear();
        known.balance.done = 0;
    });
    let rule = "every notification answered 200 was delivered to x";
    assert_eq!(lost, [rule, BALANCE]);
    let as_another = |is_shared| {
        broken(|known| {
            known.is_shared = is_shared;
            let mut sent = known.ledger.lock();
            let session = sent.sessions.get_mut("a").expect("the one session");
            session.acknowledged = ["7".to_owned()].into();
        })
    };
    assert_eq!(as_another(false), [rule]);
    assert_eq!(as_another(true), NOTHING, "a spool's id may give way");
    let split = broken(|known| known.another("a"));
    assert_eq!(split, ["each session is one event at x", BALANCE]);
}

#[test]
fn a_wrong_answer_and_a_run_without_any_200_are_found() {
    let wrong = broken(|known| known.ledger.lock().wrong.push("500".to_owned()));
    assert_eq!(wrong, ["every answer is one that the message explains"]);
    let idle = broken(|known| known.ledger.lock().latency.clear());
    assert_eq!(idle, ["notifications were accepted"]);
}

#[test]
fn no_answer_is_allowed_of_a_receiver_that_is_down_and_of_no_other() {
    for fault in [Fault::Kill, Fault::Restart] {
        let explained = broken(|known| {
            known.act(fault, 9, 11);
            known.unanswered(0);
        });
        assert_eq!(explained, NOTHING);
    }
    let without_fault = broken(|known| known.unanswered(0));
    assert_eq!(without_fault, [REFUSAL]);
    for fault in [Fault::HandOver, Fault::FullDisk, Fault::DatabaseCut] {
        let other_fault = broken(|known| {
            known.act(fault, 9, 11);
            known.unanswered(0);
        });
        assert_eq!(other_fault, [REFUSAL], "{fault:?}");
    }
    let other_receiver = broken(|known| {
        known.act(Fault::Kill, 9, 11);
        known.unanswered(1);
    });
    assert_eq!(other_receiver, [REFUSAL]);
    let other_time = broken(|known| {
        known.act(Fault::Kill, 7, 9);
        known.act(Fault::Kill, 11, 13);
        known.unanswered(0);
    });
    assert_eq!(other_time, [REFUSAL]);
    let silent = broken(|known| {
        known.act(Fault::Kill, 9, 11);
        known.refused(0, Refused::Silent);
    });
    assert_eq!(silent, [REFUSAL]);
}

#[test]
fn a_503_is_allowed_while_nothing_can_be_kept_and_at_no_other_time() {
    let refused = |is_shared, faults: &[Fault]| {
        broken(|known| {
            known.is_shared = is_shared;
            faults.iter().for_each(|fault| known.act(*fault, 9, 11));
            known.refused(0, Refused::Unavailable);
        })
    };
    assert_eq!(refused(false, &[Fault::FullDisk]), NOTHING);
    for faults in [&[][..], &[Fault::Kill], &[Fault::VendorDown]] {
        assert_eq!(refused(false, faults), [REFUSAL], "{faults:?}");
    }
    for away in [Fault::DatabaseCut, Fault::DatabaseStalls] {
        assert_eq!(refused(true, &[Fault::FullDisk, away]), NOTHING);
        assert_eq!(refused(true, &[away]), [REFUSAL]);
    }
    assert_eq!(refused(true, &[Fault::FullDisk]), [REFUSAL]);
}

#[test]
fn what_was_not_sent_or_is_another_than_was_sent_is_found() {
    assert_eq!(
        broken(|known| known.content().notification.push('x')),
        [INTACT]
    );
    assert_eq!(
        broken(|known| known.one().is_always_the_same = false),
        [INTACT]
    );
    assert_eq!(
        broken(|known| known.content().r#type = "ai.suki.session.failed".to_owned()),
        [INTACT]
    );
    assert_eq!(
        broken(|known| known.content().status = Some("failed".to_owned())),
        [INTACT]
    );
    assert_eq!(broken(|known| known.another("b")), [INTACT, BALANCE]);
}

#[test]
fn a_resource_that_is_lacking_damaged_or_of_another_session_is_found_whatever_its_group() {
    let count = well().content().resources.len();
    assert_eq!(count, 6);
    for n in 0..count {
        let lacking = broken(|known| drop(known.content().resources.remove(n)));
        assert_eq!(lacking, [INTACT], "{n}");
        let damaged = broken(|known| known.content().resources[n].body[0] ^= 1);
        assert_eq!(damaged, [INTACT], "{n}");
        let empty = broken(|known| {
            let one = &mut known.content().resources[n];
            *one = Resource::new(&one.group, &one.href, 200, b"null");
        });
        assert_eq!(empty, [INTACT], "{n}");
    }
    let of_another = broken(|known| {
        let note = known.sdp.served(&Session::ambient("b")).remove(0);
        let one = &mut known.content().resources[0];
        assert_eq!(one.group, note.group);
        *one = Resource::new(note.group, &one.href, 200, &note.body);
    });
    assert_eq!(of_another, [INTACT]);
    let twice = broken(|known| {
        let one = known.content().resources[0].clone();
        known.content().resources.push(one);
    });
    assert_eq!(twice, [INTACT]);
    let missing = broken(|known| {
        let one = known.content().resources.pop().expect("one");
        known.content().missing.push(one.href);
    });
    assert_eq!(missing, [INTACT]);
}

#[test]
fn without_links_all_but_the_status_is_expected() {
    let body = r#"{"session_id":"a","status":"success"}"#;
    let without_links = |known: &mut Known| {
        known.content().notification = body.to_owned();
        let mut sent = known.ledger.lock();
        let session = sent.sessions.get_mut("a").expect("the one session");
        session.bodies = [body.to_owned()].into();
    };
    assert_eq!(broken(without_links), [INTACT]);
    let broken = broken(|known| {
        without_links(known);
        known
            .content()
            .resources
            .retain(|one| one.group != "status");
    });
    assert_eq!(broken, NOTHING);
}

#[test]
fn an_event_may_come_again_once_for_each_fault_that_it_met_and_each_time_it_was_denied() {
    let came = |times, denied, faults: &[(Fault, u64, u64)]| {
        broken(|known| {
            for (fault, from, to) in faults {
                known.act(*fault, *from, *to);
            }
            let (first, last) = (known.at(5), known.at(10));
            let one = known.one();
            (one.times, one.denied) = (times, denied);
            (one.first, one.last) = (first, last);
        })
    };
    assert_eq!(came(2, 0, &[(Fault::Kill, 6, 7)]), NOTHING);
    assert_eq!(came(5, 3, &[(Fault::Kill, 6, 7)]), NOTHING);
    assert_eq!(came(2, 0, &[]), [REPEATED]);
    assert_eq!(came(3, 0, &[(Fault::Kill, 6, 7)]), [REPEATED]);
    assert_eq!(came(2, 0, &[(Fault::SinkDown, 6, 7)]), [REPEATED]);
    let others = [(Fault::Kill, 1, 2), (Fault::Kill, 11, 12)];
    assert_eq!(came(2, 0, &others), [REPEATED]);
    let uncounted = broken(|known| {
        known.one().times = 2;
        known.is_counted = false;
    });
    assert_eq!(uncounted, NOTHING);
}

#[test]
fn a_balance_that_does_not_agree_with_what_was_sent_and_what_came_out_is_found() {
    for change in [
        |balance: &mut Balance| balance.dead = 1,
        |balance: &mut Balance| balance.pending = 1,
        |balance: &mut Balance| balance.spooled = 1,
        |balance: &mut Balance| balance.done = 0,
        |balance: &mut Balance| balance.done = 2,
        |balance: &mut Balance| balance.quarantined = 0,
        |balance: &mut Balance| balance.quarantined = 2,
    ] {
        let off = broken(|known| change(&mut known.balance));
        assert_eq!(off, [BALANCE]);
    }
}

#[test]
fn what_was_sent_and_not_acknowledged_may_be_in_the_store() {
    let kept = broken(|known| {
        let mut sent = known.ledger.lock();
        let session = sent.sessions.get_mut("a").expect("the one session");
        session.acknowledged.clear();
        sent.quarantined = 0;
    });
    assert_eq!(kept, NOTHING);
}

#[test]
fn what_a_check_of_the_store_finds_and_how_receivers_end_is_told() {
    let found = broken(|known| known.findings.push("a damaged page".to_owned()));
    assert_eq!(found, ["a check of the store finds nothing"]);
    let ended = broken(|known| known.ends.push("a panic".to_owned()));
    assert_eq!(
        ended,
        ["every receiver ended as it was told to, and none panicked"]
    );
}
