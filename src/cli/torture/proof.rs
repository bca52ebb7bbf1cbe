//! Does what was sent and what was delivered add up? Each rule with what breaks it.

use std::collections::{HashMap, HashSet};

use super::faults::Done;
use super::inbox::Deliveries;
use super::ledger::Sent;

/// Most breaches that are told of one rule.
const TELL: usize = 5;

/// What the receivers say of their store at the end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Balance {
    /// Events.
    pub(super) total: u64,
    /// Delivered.
    pub(super) done: u64,
    /// Given up.
    pub(super) dead: u64,
    /// In the quarantine.
    pub(super) quarantined: u64,
    /// Not at an end.
    pub(super) pending: u64,
    /// In a spool.
    pub(super) spooled: u64,
}

/// One rule, and what breaks it.
#[derive(Debug)]
pub(super) struct Rule {
    /// What has to hold.
    pub(super) text: String,
    /// What does not.
    pub(super) breaches: Vec<String>,
}

/// All rules.
pub(super) fn rules(
    sent: &Sent,
    sinks: &[(&str, Deliveries)],
    faults: &Done,
    balance: Balance,
    findings: Vec<String>,
) -> Vec<Rule> {
    let mut rules = vec![rule(
        "every answer is one that a fault or the message explains",
        sent.wrong.clone(),
    )];
    for (name, got) in sinks {
        rules.push(rule(
            format!("every notification answered 200 was delivered to {name}"),
            lost(sent, got),
        ));
        rules.push(rule(
            format!("nothing was delivered to {name} that was not sent, and all of it intact"),
            foreign(sent, got),
        ));
        rules.push(rule(
            format!("each session is one event at {name}"),
            split(got),
        ));
        rules.push(rule(
            format!("nothing came to {name} more often than at-least-once allows"),
            repeated(got, faults),
        ));
    }
    rules.push(rule("the balance is zero", off(sent, balance)));
    rules.push(rule("a check of the store finds nothing", findings));
    rules
}

fn rule(text: impl Into<String>, breaches: Vec<String>) -> Rule {
    Rule {
        text: text.into(),
        breaches,
    }
}

impl Rule {
    /// Whether it holds.
    pub(super) fn holds(&self) -> bool {
        self.breaches.is_empty()
    }

    /// The first breaches, and how many there are.
    pub(super) fn told(&self) -> String {
        let mut told = self.breaches.iter().take(TELL).cloned().collect::<Vec<_>>();
        if self.breaches.len() > TELL {
            told.push(format!("and {} more", self.breaches.len() - TELL));
        }
        told.join("; ")
    }
}

/// Acknowledged, and not there. The id of a 200 counts; a spool's id may turn out to be another's duplicate, so the
/// session's event counts as well.
fn lost(sent: &Sent, got: &Deliveries) -> Vec<String> {
    let sessions: HashSet<&str> = got.values().map(|event| event.session.as_str()).collect();
    sent.sessions
        .iter()
        .filter(|(session, known)| {
            !known.acknowledged.is_empty() && !sessions.contains(session.as_str())
        })
        .map(|(session, known)| format!("{session}, answered 200 as {:?}", known.acknowledged))
        .collect()
}

/// There, and not as it was sent.
fn foreign(sent: &Sent, got: &Deliveries) -> Vec<String> {
    let mut found = Vec::new();
    for (id, event) in got {
        let Some(known) = sent.sessions.get(&event.session) else {
            found.push(format!("{id} is of a session that was not sent"));
            continue;
        };
        if !known
            .bodies
            .iter()
            .any(|body| body.trim() == event.notification.trim())
        {
            found.push(format!("{id} has another notification than was sent"));
        }
        if !event.is_always_the_same {
            found.push(format!("{id} came in different forms"));
        }
        if known.has_note && is_success(&event.notification) && event.notes == 0 {
            found.push(format!("{id} came without its note"));
        }
    }
    found
}

fn is_success(notification: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(notification)
        .is_ok_and(|notification| notification["status"] == "success")
}

/// One session under two ids: a duplicate was not recognised.
fn split(got: &Deliveries) -> Vec<String> {
    let mut ids: HashMap<&str, usize> = HashMap::new();
    for event in got.values() {
        *ids.entry(&event.session).or_default() += 1;
    }
    ids.into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(session, count)| format!("{session} is {count} events"))
        .collect()
}

/// A delivery may be repeated only when the sink itself denied it, when it was cut off, or when its end could not be
/// written down: the last two at most once for each fault that does so.
fn repeated(got: &Deliveries, faults: &Done) -> Vec<String> {
    let repeats: u32 = faults
        .iter()
        .filter(|(fault, _)| fault.may_repeat())
        .map(|(_, count)| count)
        .sum();
    got.iter()
        .filter(|(_, event)| event.times > 1 + repeats + event.denied)
        .map(|(id, event)| {
            format!(
                "{id} came {} times in a run with {repeats} faults",
                event.times
            )
        })
        .collect()
}

fn off(sent: &Sent, balance: Balance) -> Vec<String> {
    let mut found = Vec::new();
    let ended = balance.done + balance.dead + balance.quarantined;
    if balance.total != ended + balance.pending {
        found.push(format!(
            "{} events, of which {ended} ended and {} pending",
            balance.total, balance.pending
        ));
    }
    if balance.pending + balance.spooled > 0 {
        found.push(format!(
            "{} still pending, {} in a spool",
            balance.pending, balance.spooled
        ));
    }
    if balance.dead > 0 {
        found.push(format!("{} were given up", balance.dead));
    }
    let acknowledged = sent
        .sessions
        .values()
        .filter(|session| !session.acknowledged.is_empty())
        .count() as u64;
    if balance.done < acknowledged {
        found.push(format!(
            "{acknowledged} sessions acknowledged, {} done",
            balance.done
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::faults::Fault;
    use super::super::inbox::Delivered;
    use super::super::ledger::{Ledger, SentSession};
    use super::*;

    const BODY: &str = r#"{"session_id":"a","status":"success"}"#;

    /// One notification that was acknowledged, and delivered as it should be.
    fn well() -> (Ledger, Deliveries, Balance) {
        let ledger = Ledger::new().expect("a histogram");
        let session = SentSession {
            bodies: [BODY.to_owned()].into(),
            acknowledged: ["1".to_owned()].into(),
            has_note: true,
        };
        ledger.lock().sessions.insert("a".to_owned(), session);
        let delivered = Delivered {
            session: "a".to_owned(),
            notification: BODY.to_owned(),
            notes: 1,
            is_always_the_same: true,
            times: 1,
            denied: 0,
        };
        let balance = Balance {
            total: 1,
            done: 1,
            ..Balance::default()
        };
        (ledger, [("1".to_owned(), delivered)].into(), balance)
    }

    /// The rules that break after a change of what is well.
    fn broken(change: impl FnOnce(&mut Sent, &mut Deliveries, &mut Balance)) -> Vec<String> {
        let (ledger, mut got, mut balance) = well();
        change(&mut ledger.lock(), &mut got, &mut balance);
        let faults = Done::from([(Fault::Kill, 1)]);
        let rules = rules(&ledger.lock(), &[("x", got)], &faults, balance, Vec::new());
        let broken = rules.into_iter().filter(|rule| !rule.holds());
        broken.map(|rule| rule.text).collect()
    }

    fn one(got: &mut Deliveries) -> &mut Delivered {
        got.get_mut("1").expect("the one delivery")
    }

    #[test]
    fn all_holds_where_all_is_well_and_a_repeat_is_explained_by_a_kill() {
        assert_eq!(broken(|_, _, _| {}), [] as [&str; 0]);
        assert_eq!(broken(|_, got, _| one(got).times = 2), [] as [&str; 0]);
        let denied = broken(|_, got, _| (one(got).times, one(got).denied) = (5, 3));
        assert_eq!(denied, [] as [&str; 0]);
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let lost = broken(|_, got, _| got.clear());
        assert_eq!(lost, ["every notification answered 200 was delivered to x"]);
        let foreign = "nothing was delivered to x that was not sent, and all of it intact";
        assert_eq!(
            broken(|_, got, _| one(got).notification.push('x')),
            [foreign]
        );
        assert_eq!(broken(|_, got, _| one(got).notes = 0), [foreign]);
        assert_eq!(
            broken(|_, got, _| one(got).is_always_the_same = false),
            [foreign]
        );
        let unsent = broken(|_, got, _| {
            let mut other = one(got).clone();
            other.session = "b".to_owned();
            got.insert("2".to_owned(), other);
        });
        assert_eq!(unsent, [foreign]);
        let split = broken(|_, got, _| {
            let other = one(got).clone();
            got.insert("2".to_owned(), other);
        });
        assert_eq!(split, ["each session is one event at x"]);
        let repeated = broken(|_, got, _| one(got).times = 3);
        assert_eq!(
            repeated,
            ["nothing came to x more often than at-least-once allows"]
        );
        for change in [
            |balance: &mut Balance| balance.dead = 1,
            |balance: &mut Balance| balance.pending = 1,
            |balance: &mut Balance| balance.spooled = 1,
            |balance: &mut Balance| balance.done = 0,
        ] {
            let off = broken(|_, _, balance| change(balance));
            assert_eq!(off, ["the balance is zero"]);
        }
        let wrong = broken(|sent, _, _| sent.wrong.push("success was answered 500".to_owned()));
        assert_eq!(
            wrong,
            ["every answer is one that a fault or the message explains"]
        );
    }
}
