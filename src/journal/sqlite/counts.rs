//! The number of events by state, updated as events change state, so that a count never reads millions of rows. The
//! counts are written once for each transaction, whatever it holds.

use std::cell::Cell;
use std::ops::Deref;

use rusqlite::{Connection, params};

use crate::domain::EventState;
use crate::journal::Error;

/// A transaction's connection, with the changes that it makes to the counts.
pub(super) struct Tx<'c> {
    connection: &'c Connection,
    changes: Cell<Changes>,
}

/// The change of each count.
type Changes = [i64; EventState::ALL.len()];

impl<'c> Tx<'c> {
    /// A transaction without changes so far.
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self {
            connection,
            changes: Cell::default(),
        }
    }

    /// Counts one event less in this state.
    pub(super) fn leaves(&self, state: EventState) {
        self.change(state, -1);
    }

    /// Counts one event more in this state.
    pub(super) fn enters(&self, state: EventState) {
        self.change(state, 1);
    }

    fn change(&self, state: EventState, by: i64) {
        let mut changes = self.changes.get();
        if let Some(at) = EventState::ALL.iter().position(|known| *known == state) {
            changes[at] += by;
        }
        self.changes.set(changes);
    }

    /// Runs `work` in a savepoint, so that it takes effect as a whole or not at all.
    pub(super) fn in_savepoint<T>(
        &self,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let before = self.changes.get();
        self.prepare_cached("SAVEPOINT job")?.execute([])?;
        let result = work();
        if result.is_err() {
            self.changes.set(before);
            self.prepare_cached("ROLLBACK TO job")?.execute([])?;
        }
        self.prepare_cached("RELEASE job")?.execute([])?;
        result
    }

    /// Writes the changes to the store.
    pub(super) fn write_counts(&self) -> Result<(), Error> {
        for (state, by) in EventState::ALL.iter().zip(self.changes.get()) {
            if by != 0 {
                self.prepare_cached("UPDATE counts SET n = n + ?2 WHERE state = ?1")?
                    .execute(params![state.as_str(), by])?;
            }
        }
        Ok(())
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}
