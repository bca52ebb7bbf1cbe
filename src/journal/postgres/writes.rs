//! The rows that a batch of ends writes, gathered column by column.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::row;
use super::server_clock::ServerClock;
use crate::domain::{Cause, EventState, Millis, Reason};
use crate::journal::{End, Found, Lease, Task};

/// All rows that a batch of ends writes, column by column.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) removed: (Vec<i64>, Vec<String>),
    pub(super) again: Vec<Again>,
    pub(super) found: Vec<(i64, Found, i32, bool)>,
    pub(super) planned: Vec<(i64, String, bool)>,
    pub(super) announced: Vec<(i64, String)>,
    pub(super) retrieved: Vec<i64>,
    pub(super) refreshes: (Vec<i64>, Vec<i64>),
    pub(super) delivered: Vec<Delivered>,
    pub(super) history: Vec<Line>,
    pub(super) dead: (Vec<i64>, Vec<String>, Vec<&'static str>),
    /// Awaited confirmations: the event, the sink, and the time until the deadline.
    pub(super) unapplied: (Vec<i64>, Vec<String>, Vec<i64>),
    /// Events that end as done because another event has already delivered the same content.
    pub(super) same: (Vec<i64>, Vec<Uuid>),
    /// Events that may have ended.
    pub(super) over: Vec<i64>,
    pub(super) counts: HashMap<EventState, i64>,
}

/// Work that is to be tried again.
pub(super) struct Again {
    pub(super) lease: Lease,
    pub(super) next: Task,
    pub(super) due_in: Millis,
    pub(super) tries: i32,
    pub(super) tried_ms: Option<i64>,
    pub(super) reason: Option<Reason>,
}

/// An entry in an event's history for a failed attempt.
pub(super) struct Line {
    pub(super) event: i64,
    pub(super) what: String,
    pub(super) detail: String,
    pub(super) cause: Cause,
    pub(super) http_status: Option<u16>,
    pub(super) took: Duration,
    pub(super) instance: String,
}

/// A delivery that has ended.
pub(super) struct Delivered {
    pub(super) event: i64,
    pub(super) sink: String,
    pub(super) state: &'static str,
    pub(super) attempts: i32,
    pub(super) started_at: i64,
    pub(super) delivered_at: Option<i64>,
    pub(super) reason: Option<Reason>,
    pub(super) took: Duration,
    pub(super) instance: String,
}

impl Writes {
    pub(super) fn remove(&mut self, lease: &Lease) {
        self.removed.0.push(lease.event);
        self.removed.1.push(lease.task.to_string());
    }

    pub(super) fn again(
        &mut self,
        lease: &Lease,
        next: Task,
        due_in: Millis,
        tries: i32,
        tried_ms: Option<i64>,
        reason: Option<&Reason>,
    ) {
        self.again.push(Again {
            lease: lease.clone(),
            next,
            due_in,
            tries,
            tried_ms,
            reason: reason.cloned(),
        });
    }

    pub(super) fn announce(&mut self, event: i64, sinks: &[String]) {
        for sink in sinks {
            self.planned.push((event, sink.clone(), false));
            self.announced.push((event, sink.clone()));
        }
    }

    pub(super) fn schedule_refresh(&mut self, event: i64, at: Option<Millis>, clock: ServerClock) {
        if let Some(at) = at {
            self.refreshes.0.push(event);
            self.refreshes.1.push(clock.distance(at));
        }
    }

    /// Adds a failed attempt to the history.
    pub(super) fn failed(&mut self, end: &End, what: &str, reason: &Reason) {
        self.history.push(Line {
            event: end.lease.event,
            what: row::text(what).into_owned(),
            detail: row::text(&reason.text).into_owned(),
            cause: reason.cause,
            http_status: reason.http_status,
            took: end.took,
            instance: end.instance.to_string(),
        });
    }

    pub(super) fn moves(&mut self, from: EventState, to: EventState) {
        *self.counts.entry(from).or_default() -= 1;
        *self.counts.entry(to).or_default() += 1;
    }
}

/// A reason's text without U+0000, which PostgreSQL does not allow.
pub(super) fn text(reason: &Reason) -> String {
    row::text(&reason.text).into_owned()
}
