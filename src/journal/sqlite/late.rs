//! Late or changed content: an amendment is an event of its own that replaces the one before it.

use rusqlite::{OptionalExtension, params};

use super::finish::{Ending, due};
use super::progress::{end_event, history, schedule_refresh};
use super::{content, repeat};
use crate::domain::{EventState, Millis, Source};
use crate::journal::contents;
use crate::journal::{Again, Ended, Error, Lease, Planned, Seen};

/// What else was asked for since this time.
const NOTED: &str = "SELECT cause, noted_at FROM work WHERE event = ?1 AND task = 'refresh' AND noted_at > coalesce(?2, 0)";
/// The content is the same; only the time of the fetch is new.
const SAME: &str = "UPDATE retrievals SET links = ?2 WHERE event = ?1 AND bodies IS NOT NULL";
/// Copies the event under another id. It is not a duplicate: its deduplication key is the id of the event that it
/// replaces.
const AMEND: &str = "INSERT INTO receipts
    (id, dedupe, session_id, encounter_id, received_at, generated_at, source, stale, status, outcome, kind, error_code, body)
    SELECT ?2, id, session_id, encounter_id, ?3, generated_at, ?4, stale, status, outcome, kind, error_code, body
    FROM receipts WHERE seq = ?1 AND body IS NOT NULL
    ON CONFLICT (dedupe) DO NOTHING";
/// If the event was not delivered because another one had delivered the same content, the amendment replaces that other
/// one, which the sinks have.
const AMENDS: &str = "INSERT INTO amendments (event, revision, replaces)
    SELECT ?2, 1 + coalesce((SELECT revision FROM amendments JOIN receipts ON seq = event WHERE id = delivered), 1), delivered
    FROM (SELECT coalesce((SELECT same_as FROM endings WHERE event = ?1), id) AS delivered FROM receipts WHERE seq = ?1)";

impl Ending<'_> {
    /// Ends a refresh.
    pub(super) fn refresh(
        self,
        lease: &Lease,
        next: Option<Millis>,
        (noted_at, retry_at): (Option<Millis>, Option<Millis>),
        seen: &Seen,
    ) -> Result<Ended, Error> {
        let (tx, event) = (self.tx, lease.event);
        // If another notification came meanwhile, the content may still be that of the note before.
        let noted_since: Option<Again> = tx
            .prepare_cached(NOTED)?
            .query_row(params![event, noted_at], repeat::again)
            .optional()?;
        if self.end(lease)?.is_none() {
            return Ok(Ended::Lost);
        }
        let again = |event: i64| match (noted_since, next) {
            (Some(again), _) => {
                let due = retry_at.unwrap_or(self.now);
                repeat::schedule(tx, event, again, due, self.now)
            }
            (None, Some(next)) => schedule_refresh(tx, event, next),
            (None, None) => Ok(()),
        };
        let amendment = match seen {
            Seen::Nothing => {
                again(event)?;
                return Ok(Ended::kept(None));
            }
            Seen::Same(found) => {
                tx.prepare_cached(SAME)?
                    .execute(params![event, contents::encode(&found.links).0])?;
                again(event)?;
                return Ok(Ended::kept(None));
            }
            Seen::Amended(amendment) => amendment,
        };
        let made = tx.prepare_cached(AMEND)?.execute(params![
            event,
            amendment.id.as_bytes(),
            amendment.received_at.as_millisecond(),
            Source::Refresh.as_str(),
        ])?;
        if made == 0 {
            return Ok(Ended::Lost);
        }
        let amended = tx.last_insert_rowid();
        tx.prepare_cached(AMENDS)?.execute([event, amended])?;
        let retrieved_at = content::retrieved_at(tx, event)?;
        self.write_found(
            amended,
            &amendment.found,
            0,
            retrieved_at.or(Some(self.now)),
        )?;
        again(amended)?;
        let planned: Vec<Planned> = amendment.sinks.iter().map(|sink| due(sink)).collect();
        self.plan(amended, &planned, false)?;
        tx.enters(EventState::Delivering);
        end_event(tx, amended, self.now)?;
        let detail = format!("other content came; amended by {}", amendment.id);
        history(tx, event, self.now, "refresh", &detail)?;
        Ok(Ended::kept(None))
    }
}
