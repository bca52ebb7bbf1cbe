//! Ends a piece of work in its row. Each statement changes the row only while the lease is valid.

use rusqlite::{OptionalExtension, params};

use super::finish::Ending;
use crate::domain::{EventState, Millis, Reason};
use crate::journal::{Ended, Error, Lease, Task};

/// Removes the row and returns its attempts and start.
const END: &str = "DELETE FROM work WHERE event = ?1 AND task = ?2 AND fence = ?3 AND owner = ?4
    RETURNING tries, started_at";
/// Counts the attempt and releases the lease.
const AGAIN: &str =
    "UPDATE work SET owner = NULL, due = ?5, tries = tries + 1, tried_ms = ?6, cause = ?7, cause_code = ?8
    WHERE event = ?1 AND task = ?2 AND fence = ?3 AND owner = ?4 RETURNING tries";
const GIVE_BACK: &str = "UPDATE work SET owner = NULL, due = ?5
    WHERE event = ?1 AND task = ?2 AND fence = ?3 AND owner = ?4";
/// Turns a task that nobody has worked on yet into one that has been begun.
const RETASK: &str = "UPDATE work SET task = 'retrieve' WHERE event = ?1 AND task = 'new'";

impl Ending<'_> {
    pub(super) fn given_back(self, lease: &Lease) -> Result<Ended, Error> {
        let given = self.tx.prepare_cached(GIVE_BACK)?.execute(params![
            lease.event,
            lease.task.to_string(),
            lease.fence,
            self.owner.as_bytes(),
            self.now
        ])?;
        Ok(if given == 0 {
            Ended::Lost
        } else {
            Ended::kept(None)
        })
    }

    /// Removes finished work if the lease is valid, and returns the number of earlier attempts.
    pub(super) fn end(self, lease: &Lease) -> Result<Option<u32>, Error> {
        Ok(self.remove(lease)?.map(|(tries, _)| tries))
    }

    pub(super) fn remove(self, lease: &Lease) -> Result<Option<(u32, Millis)>, Error> {
        Ok(self
            .tx
            .prepare_cached(END)?
            .query_row(
                params![
                    lease.event,
                    lease.task.to_string(),
                    lease.fence,
                    self.owner.as_bytes()
                ],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?)
    }

    /// Schedules another attempt if the lease is valid, and returns the number of attempts.
    pub(super) fn again(
        self,
        lease: &Lease,
        at: Millis,
        tried_ms: Millis,
        reason: &Reason,
    ) -> Result<Option<u32>, Error> {
        Ok(self
            .tx
            .prepare_cached(AGAIN)?
            .query_row(
                params![
                    lease.event,
                    lease.task.to_string(),
                    lease.fence,
                    self.owner.as_bytes(),
                    at,
                    tried_ms,
                    reason.text,
                    reason.cause.as_str()
                ],
                |row| row.get(0),
            )
            .optional()?)
    }

    /// Marks a new event's work as begun.
    pub(super) fn mark_begun(self, lease: &Lease) -> Result<(), Error> {
        if lease.task == Task::New {
            self.tx.prepare_cached(RETASK)?.execute([lease.event])?;
            self.tx.leaves(EventState::Received);
            self.tx.enters(EventState::Retrieving);
        }
        Ok(())
    }
}
