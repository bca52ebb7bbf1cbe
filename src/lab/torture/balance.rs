//! Compares the receivers' own counts with the numbers that were counted outside.

use serde_json::Value;

use super::ledger::Sent;
use super::sink::Sink;

/// The receivers' counts of their store at the end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Balance {
    /// Delivered events.
    pub(super) done: u64,
    /// Dead events.
    pub(super) dead: u64,
    /// Quarantined events.
    pub(super) quarantined: u64,
    /// Events in progress.
    pub(super) pending: u64,
    /// Events in a spool.
    pub(super) spooled: u64,
    /// Expected sessions: all; those recovered by polling; those whose notification came after the recovery, so that
    /// there are two events of which one is delivered; and those without an end.
    pub(super) expected: u64,
    pub(super) recovered: u64,
    pub(super) late: u64,
    pub(super) awaited: u64,
}

impl Balance {
    /// Reads the counts from the answer of `/api/v1/stats`.
    pub(super) fn of_stats(stats: &Value) -> Self {
        let count = |state: &str| stats["events"][state].as_u64().unwrap_or_default();
        let session = |state: &str| stats["sessions"][state].as_u64().unwrap_or_default();
        Self {
            done: count("done"),
            dead: count("dead"),
            quarantined: count("quarantined"),
            pending: count("received") + count("retrieving") + count("delivering"),
            spooled: 0,
            expected: stats["sessions"]
                .as_object()
                .map_or(0, |states| states.values().filter_map(Value::as_u64).sum()),
            recovered: session("recovered"),
            late: session("late"),
            awaited: session("open") + session("polling") + session("denied"),
        }
    }

    /// Whether the receivers have no work left.
    pub(super) fn is_at_rest(&self) -> bool {
        self.pending + self.spooled + self.awaited == 0
    }

    /// The discrepancies. An acknowledged notification must be in the store. One that was sent and not acknowledged may
    /// be there: its answer was lost, or was given before its commit. A sink must have exactly the events that are in
    /// the store.
    pub(super) fn off(&self, sent: &Sent, sinks: &[Sink]) -> Vec<String> {
        let mut found = Vec::new();
        if !self.is_at_rest() {
            found.push(format!(
                "{} still pending, {} in a spool, {} expected sessions without an end",
                self.pending, self.spooled, self.awaited
            ));
        }
        if self.dead > 0 {
            found.push(format!("{} were given up", self.dead));
        }
        let acknowledged = sent
            .sessions
            .values()
            .filter(|session| session.is_promised())
            .count() as u64;
        let (events, all) = (
            (self.done + self.dead + self.pending).saturating_sub(self.late),
            sent.sessions.len() as u64,
        );
        if !(acknowledged..=all).contains(&events) {
            found.push(format!(
                "{events} events of {all} that were sent and {acknowledged} that were acknowledged"
            ));
        }
        let expected = sent.sessions.values().filter(|it| it.is_expected).count() as u64;
        let dropped = sent.sessions.values();
        let dropped = dropped
            .filter(|it| it.is_expected && it.is_dropped())
            .count() as u64;
        if self.expected < expected {
            found.push(format!(
                "{} expected sessions of {expected} that were registered",
                self.expected
            ));
        }
        if self.recovered < dropped {
            found.push(format!(
                "{} sessions recovered of {dropped} whose notification was dropped",
                self.recovered
            ));
        }
        for Sink { name, got, .. } in sinks {
            if got.len() as u64 + self.late != self.done {
                found.push(format!(
                    "{} done, {} of them twice, {} came to {name}",
                    self.done,
                    self.late,
                    got.len()
                ));
            }
        }
        if !(sent.quarantined..=sent.malformed).contains(&self.quarantined) {
            found.push(format!(
                "{} in the quarantine, of {} that were sent and {} that were answered 400",
                self.quarantined, sent.malformed, sent.quarantined
            ));
        }
        found
    }
}
