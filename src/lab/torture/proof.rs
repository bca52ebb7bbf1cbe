//! Does what was sent and what was delivered add up? Each rule with what breaks it.

use std::collections::{HashMap, HashSet};

use super::deliveries::Deliveries;
use super::history::History;
use super::ledger::{Failure, Refused, Sent, SentSession};
use super::sink::Sink;
use super::{balance, intact};
use crate::lab::simulator::Sdp;

/// Most breaches that are told of one rule.
const TELL: usize = 5;

/// All that is known when the run is over.
pub(super) struct Evidence<'a> {
    /// What was sent.
    pub(super) sent: &'a Sent,
    /// What was done meanwhile.
    pub(super) history: &'a History,
    /// What the vendor's API has to give.
    pub(super) sdp: &'a Sdp,
    /// What came out.
    pub(super) sinks: &'a [Sink],
    /// What the store holds.
    pub(super) balance: balance::Balance,
    /// What `store check` says.
    pub(super) findings: Vec<String>,
    /// Receivers that ended as they should not, and panics.
    pub(super) ends: Vec<String>,
    /// Whether the store is a database, with a spool before it.
    pub(super) is_shared: bool,
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

/// Not taken, and nothing was done to that receiver at that moment that would explain it.
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

/// Nothing was accepted, so all else says nothing.
fn idle(sent: &Sent) -> Vec<String> {
    let is_idle = sent.latency.is_empty();
    is_idle
        .then(|| "none was answered 200".to_owned())
        .into_iter()
        .collect()
}

/// Acknowledged, and not there as the event that the 200 named. One that was expected may have been delivered before, as it
/// was found by asking. Only with a spool that may be another: what it took under
/// an id of its own may turn out to be known in the store, and then the first one stays.
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

/// Registered, its notification dropped, and not there.
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

/// One session under two ids: a duplicate was not recognised.
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

/// A delivery may be repeated only when the sink itself denied it, when it was cut off, or when its end could not be
/// written down: the last two at most once for each fault that does so, and only by one that was not over when the event
/// came for the first time, nor began after it came for the last.
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
