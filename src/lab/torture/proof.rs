//! The proof: rules that what was sent and what was delivered must fulfil, each with its breaches.

use std::collections::{HashMap, HashSet};

use super::deliveries::Deliveries;
use super::history::History;
use super::ledger::{Failure, Refused, Sent, SentSession};
use super::sink::Sink;
use super::{balance, intact};
use crate::lab::simulator::Sdp;

/// The limit of breaches that are shown for one rule.
const TELL: usize = 5;

/// The evidence at the end of a run.
pub(super) struct Evidence<'a> {
    /// The sent messages and their answers.
    pub(super) sent: &'a Sent,
    /// The injected faults.
    pub(super) history: &'a History,
    /// The simulated vendor's API.
    pub(super) sdp: &'a Sdp,
    /// The deliveries at the sinks.
    pub(super) sinks: &'a [Sink],
    /// The receivers' counts of the store.
    pub(super) balance: balance::Balance,
    /// The findings of `store check`.
    pub(super) findings: Vec<String>,
    /// Unexpected ends of receivers, and panics.
    pub(super) ends: Vec<String>,
    /// Whether the store is a shared database, with a spool on each receiver.
    pub(super) is_shared: bool,
}

/// A rule with its breaches.
#[derive(Debug)]
pub(super) struct Rule {
    /// The rule in words.
    pub(super) text: String,
    /// The cases that break it.
    pub(super) breaches: Vec<String>,
}

/// All rules.
pub(super) fn rules(evidence: Evidence<'_>) -> Vec<Rule> {
    let Evidence { sent, history, .. } = evidence;
    let mut rules = vec![
        rule(
            "every answer is one that the message explains",
            sent.wrong.clone(),
        ),
        rule(
            "every refusal is one that a fault of that moment explains",
            unexplained(sent, history, evidence.is_shared),
        ),
        rule("notifications were accepted", idle(sent)),
    ];
    for Sink {
        name,
        got,
        is_counted,
    } in evidence.sinks
    {
        rules.push(rule(
            format!("every notification answered 200 was delivered to {name}"),
            lost(sent, got, evidence.is_shared),
        ));
        rules.push(rule(
            format!("every session that was registered and never told of was delivered to {name}"),
            unheard(sent, got),
        ));
        rules.push(rule(
            format!("nothing was delivered to {name} that was not sent, and all of it intact"),
            intact::foreign(sent, got, evidence.sdp),
        ));
        rules.push(rule(
            format!("each session is one event at {name}"),
            split(got),
        ));
        if *is_counted {
            rules.push(rule(
                format!("nothing came to {name} more often than at-least-once allows"),
                repeated(got, history),
            ));
        }
    }
    rules.push(rule(
        "the balance is zero",
        evidence.balance.off(sent, evidence.sinks),
    ));
    rules.push(rule(
        "a check of the store finds nothing",
        evidence.findings,
    ));
    rules.push(rule(
        "every receiver ended as it was told to, and none panicked",
        evidence.ends,
    ));
    rules
}

fn rule(text: impl Into<String>, breaches: Vec<String>) -> Rule {
    Rule {
        text: text.into(),
        breaches,
    }
}

impl Rule {
    /// Whether the rule holds.
    pub(super) fn holds(&self) -> bool {
        self.breaches.is_empty()
    }

    /// The first breaches, and their number.
    pub(super) fn told(&self) -> String {
        let mut told = self.breaches.iter().take(TELL).cloned().collect::<Vec<_>>();
        if self.breaches.len() > TELL {
            told.push(format!("and {} more", self.breaches.len() - TELL));
        }
        told.join("; ")
    }
}

/// Failed requests that no fault of that receiver at that time explains.
fn unexplained(sent: &Sent, history: &History, is_shared: bool) -> Vec<String> {
    let is_explained = |failure: &&Failure| match failure.how {
        Refused::Unavailable => {
            history.was_unable(failure.instance, failure.from, failure.to, is_shared)
        }
        Refused::Unanswered(_) => history.was_down(failure.instance, failure.from, failure.to),
        Refused::Silent => false,
    };
    let unexplained = sent
        .failures
        .iter()
        .filter(|failure| !is_explained(failure));
    unexplained
        .map(|failure| {
            let how = match &failure.how {
                Refused::Unavailable => "answered 503",
                Refused::Unanswered(why) => why,
                Refused::Silent => "no answer until the sender gave up",
            };
            let at = failure.to.saturating_duration_since(sent.start);
            format!(
                "receiver {} after {:.1} s: {how}",
                failure.instance,
                at.as_secs_f64()
            )
        })
        .collect()
}

/// A breach if nothing was accepted, because the other rules would then prove nothing.
fn idle(sent: &Sent) -> Vec<String> {
    let is_idle = sent.latency.is_empty();
    is_idle
        .then(|| "none was answered 200".to_owned())
        .into_iter()
        .collect()
}

/// Acknowledged sessions that were not delivered under the event id in the 200 answer. A registered session may have
/// been delivered under another id, because it was recovered by polling before. With a spool the id may also differ:
/// the store may already have the notification that the spool accepted under an id of its own, and then the store's id
/// stays.
fn lost(sent: &Sent, got: &Deliveries, is_shared: bool) -> Vec<String> {
    let mut ids: HashMap<&str, HashSet<&String>> = HashMap::new();
    for (id, event) in got {
        ids.entry(&event.content.session).or_default().insert(id);
    }
    let is_there = |session: &str, known: &SentSession| {
        ids.get(session).is_some_and(|ids| {
            is_shared || known.is_expected || known.acknowledged.iter().all(|id| ids.contains(id))
        })
    };
    sent.sessions
        .iter()
        .filter(|(session, known)| !known.acknowledged.is_empty() && !is_there(session, known))
        .map(|(session, known)| format!("{session}, answered 200 as {:?}", known.acknowledged))
        .collect()
}

/// Registered sessions whose notification was dropped and that were not delivered.
fn unheard(sent: &Sent, got: &Deliveries) -> Vec<String> {
    let there: HashSet<&str> = got.values().map(|event| &*event.content.session).collect();
    sent.sessions
        .iter()
        .filter(|(session, known)| {
            known.is_dropped() && known.is_expected && !there.contains(&***session)
        })
        .map(|(session, _)| session.clone())
        .collect()
}

/// Sessions that were delivered under several ids, which means that a duplicate was not recognised.
fn split(got: &Deliveries) -> Vec<String> {
    let mut ids: HashMap<&str, usize> = HashMap::new();
    for event in got.values() {
        *ids.entry(&event.content.session).or_default() += 1;
    }
    ids.into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(session, count)| format!("{session} is {count} events"))
        .collect()
}

/// Events that were delivered too often. A delivery may be repeated only if the sink answered with an error, if it was
/// cut off, or if its result could not be stored. The last two may happen at most once for each fault that can cause
/// them, and only if the fault was not over at the event's first delivery and had begun by its last.
fn repeated(got: &Deliveries, history: &History) -> Vec<String> {
    got.iter()
        .filter_map(|(id, event)| {
            let repeats = history.repeats(event.first, event.last);
            (event.times > 1 + repeats + event.denied).then(|| {
                format!(
                    "{id} came {} times, was denied {} times, and met {repeats} faults",
                    event.times, event.denied
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
