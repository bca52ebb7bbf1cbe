//! Ends work. Every end is fenced: it is written only if its lease is still valid.

use rusqlite::params;
use uuid::Uuid;

use super::counts::Tx;
use super::progress::{PLAN, end_event, failed, schedule_refresh, start_waiting};
use super::{applied, content, expectation, operate, pauses};
use crate::domain::{EventState, Millis};
use crate::journal::contents::{self, millis};
use crate::journal::lease::{WHEN_RETRIEVED, new_fence};
use crate::journal::{DeliveryEnd, End, Ended, Error, Found, How, Lease, Planned, Retrieval, Task};

const RETRIEVED: &str = "INSERT INTO retrievals (event, outcome, kind, session_status, attempts, retrieved_at, links, bodies)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (event) DO UPDATE SET outcome = excluded.outcome, kind = excluded.kind,
        session_status = excluded.session_status, attempts = excluded.attempts, retrieved_at = excluded.retrieved_at,
        links = excluded.links, bodies = excluded.bodies";
const MENTION: &str = "INSERT OR IGNORE INTO mentions (name, event)
    SELECT session_id, seq FROM receipts WHERE seq = ?1
    UNION ALL SELECT encounter_id, seq FROM receipts WHERE seq = ?1 AND encounter_id IS NOT NULL";
const DELIVERED: &str = "INSERT OR REPLACE INTO deliveries
    (event, sink, state, attempts, started_at, delivered_at, last_error, cause_code, http_status, took_ms, instance)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
/// Ends an event as done because another event has already delivered the same content.
const DONE: &str = "INSERT INTO endings (event, state, ended_at, has_content, same_as) VALUES (?1, 'done', ?2, 1, ?3)";
const DEAD: &str = "INSERT INTO endings (event, state, ended_at, cause, cause_code, has_content)
    VALUES (?1, 'dead', ?2, ?3, ?4, 1)";
/// The transaction, the owner and the time of an end.
#[derive(Clone, Copy)]
pub(super) struct Ending<'a> {
    pub(super) tx: &'a Tx<'a>,
    pub(super) owner: Uuid,
    pub(super) now: Millis,
}

impl Ending<'_> {
    /// Records how work ended.
    pub(super) fn finish(self, ends: &[End]) -> Result<Vec<Ended>, Error> {
        let waits = operate::is_any_replay_waiting(self.tx)?;
        let mut ended = Vec::with_capacity(ends.len());
        for end in ends {
            let lease = &end.lease;
            ended.push(match &end.how {
                How::Retrieval(how) => self.retrieval(end, how)?,
                How::Delivery(how) => self.delivery(end, how)?,
                How::Refresh {
                    next,
                    noted_at,
                    retry_at,
                    seen,
                } => self.refresh(lease, *next, (*noted_at, *retry_at), seen)?,
                How::GivenBack => self.given_back(lease)?,
            });
        }
        if waits {
            operate::replay_what_is_free(self.tx, self.now)?;
        }
        Ok(ended)
    }

    /// Ends an attempt to retrieve an event.
    fn retrieval(self, end: &End, how: &Retrieval) -> Result<Ended, Error> {
        let (tx, lease) = (self.tx, &end.lease);
        let event = lease.event;
        match how {
            Retrieval::Deliver {
                found,
                sinks,
                refresh_at,
            } => {
                let Some(tries) = self.end(lease)? else {
                    return Ok(Ended::Lost);
                };
                self.write_found(event, found, tries + 1, Some(self.now))?;
                if let Some(at) = refresh_at {
                    schedule_refresh(tx, event, *at)?;
                }
                let is_replayed = operate::waits(tx, event)?;
                let deliveries = self.plan(event, sinks, !is_replayed)?;
                start_waiting(tx, event, self.now)?;
                tx.leaves(lease.task.counted_state());
                tx.enters(EventState::Delivering);
                // An event whose delivery has just been leased cannot end yet.
                let (ended, sequence) = match &deliveries[..] {
                    [] => (end_event(tx, event, self.now)?, None),
                    _ => (None, Some(content::sequence(tx, event)?)),
                };
                Ok(Ended::Kept {
                    event: ended,
                    deliveries,
                    sequence,
                })
            }
            Retrieval::Same { found, same_as } => {
                let Some(tries) = self.end(lease)? else {
                    return Ok(Ended::Lost);
                };
                self.write_found(event, found, tries + 1, Some(self.now))?;
                tx.leaves(lease.task.counted_state());
                // A sink that got the notification earlier, or for which a replay was requested, gets this event all
                // the same.
                start_waiting(tx, event, self.now)?;
                if has_deliveries(tx, event)? {
                    tx.enters(EventState::Delivering);
                    return Ok(Ended::kept(end_event(tx, event, self.now)?));
                }
                tx.prepare_cached(DONE)?
                    .execute(params![event, self.now, same_as.as_bytes()])?;
                tx.enters(EventState::Done);
                Ok(Ended::kept(Some(EventState::Done)))
            }
            Retrieval::Retry {
                found,
                at,
                tried_for,
                reason,
                sinks,
            } => {
                let tried_ms = Millis::try_from(tried_for.as_millis()).unwrap_or(Millis::MAX);
                let Some(tries) = self.again(lease, *at, tried_ms, reason)? else {
                    return Ok(Ended::Lost);
                };
                self.write_found(event, found, tries, None)?;
                self.announce(event, sinks)?;
                self.mark_begun(lease)?;
                failed(tx, event, self.now, "retrieve", (reason, end))?;
                Ok(Ended::kept(None))
            }
            Retrieval::Announced { sinks } => {
                if self.given_back(lease)? == Ended::Lost {
                    return Ok(Ended::Lost);
                }
                self.announce(event, sinks)?;
                self.mark_begun(lease)?;
                Ok(Ended::kept(None))
            }
            Retrieval::Dead {
                found,
                reason,
                sinks,
            } => {
                let Some(tries) = self.end(lease)? else {
                    return Ok(Ended::Lost);
                };
                self.write_found(event, found, tries + 1, None)?;
                self.announce(event, sinks)?;
                tx.prepare_cached(DEAD)?.execute(params![
                    event,
                    self.now,
                    reason.text,
                    reason.cause.as_str()
                ])?;
                tx.leaves(lease.task.counted_state());
                tx.enters(EventState::Dead);
                let given_up = reason.clone().after("given up");
                failed(tx, event, self.now, "retrieve", (&given_up, end))?;
                Ok(Ended::kept(Some(EventState::Dead)))
            }
        }
    }

    /// Ends a delivery attempt.
    fn delivery(self, end: &End, how: &DeliveryEnd) -> Result<Ended, Error> {
        let (tx, lease) = (self.tx, &end.lease);
        let event = lease.event;
        let Some(sink) = lease.task.sink() else {
            return Ok(Ended::Lost);
        };
        let (state, delivered_at, reason) = match how {
            DeliveryEnd::Retry { at, reason } => {
                if self.again(lease, *at, 0, reason)?.is_none() {
                    return Ok(Ended::Lost);
                }
                failed(
                    tx,
                    event,
                    self.now,
                    &format!("deliver to {sink}"),
                    (reason, end),
                )?;
                return Ok(Ended::kept(None));
            }
            DeliveryEnd::Delivered { at, .. } => ("delivered", Some(at.as_millisecond()), None),
            DeliveryEnd::Dead { reason } => ("dead", None, Some(reason)),
        };
        let Some((tries, started_at)) = self.remove(lease)? else {
            return Ok(Ended::Lost);
        };
        tx.prepare_cached(DELIVERED)?.execute(params![
            event,
            sink,
            state,
            tries + 1,
            started_at,
            delivered_at,
            reason.map(|reason| &reason.text),
            reason.map(|reason| reason.cause.as_str()),
            reason.and_then(|reason| reason.http_status),
            millis(end.took),
            &*end.instance
        ])?;
        if let DeliveryEnd::Delivered {
            applied_by: Some(due),
            ..
        } = how
        {
            applied::await_it(tx, event, sink, *due)?;
        }
        if let Some(reason) = reason {
            failed(
                tx,
                event,
                self.now,
                &format!("deliver to {sink}"),
                (reason, end),
            )?;
        }
        Ok(Ended::kept(end_event(tx, event, self.now)?))
    }

    pub(super) fn write_found(
        self,
        event: i64,
        found: &Found,
        attempts: u32,
        retrieved_at: Option<Millis>,
    ) -> Result<(), Error> {
        write_found(self.tx, event, found, attempts, retrieved_at)?;
        expectation::meet_late(self.tx, event, self.now)
    }

    /// Plans deliveries, apart from those that were already made. Returns the leases of those that this instance makes
    /// itself.
    pub(super) fn plan(
        self,
        event: i64,
        sinks: &[Planned],
        may_hold: bool,
    ) -> Result<Vec<Lease>, Error> {
        let mut plan = self.tx.prepare_cached(PLAN)?;
        let (mut held, fence) = (Vec::new(), new_fence());
        for Planned { sink, is_held } in sinks {
            let holds = *is_held && may_hold && !pauses::is_paused(self.tx, sink)?;
            let owner = holds.then_some(self.owner);
            let owner_bytes = owner.as_ref().map(Uuid::as_bytes);
            let planned = plan.execute(params![event, sink, self.now, owner_bytes, fence])?;
            if planned == 1 && owner.is_some() {
                held.push(Lease {
                    event,
                    task: Task::Deliver(sink.clone()),
                    fence,
                });
            }
        }
        Ok(held)
    }

    /// Makes the deliveries to these sinks due, and no others.
    fn announce(self, event: i64, sinks: &[String]) -> Result<(), Error> {
        let planned: Vec<Planned> = sinks.iter().map(|sink| due(sink)).collect();
        self.plan(event, &planned, false)?;
        for sink in sinks {
            let task = Task::Deliver(sink.clone()).to_string();
            self.tx
                .prepare_cached(
                    "UPDATE work SET due = ?2, started_at = ?2 WHERE event = ?1 AND task = ?4 AND due = ?3 AND owner IS NULL",
                )?
                .execute(params![event, self.now, WHEN_RETRIEVED, task])?;
        }
        Ok(())
    }
}

/// Whether an event has deliveries, made or pending.
fn has_deliveries(tx: &Tx<'_>, event: i64) -> Result<bool, Error> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM work WHERE event = ?1 AND task LIKE 'deliver:%'
             UNION ALL SELECT 1 FROM deliveries WHERE event = ?1 LIMIT 1",
        )?
        .exists([event])?)
}

/// Writes what was retrieved for an event, and updates the index of its names.
pub(super) fn write_found(
    tx: &Tx<'_>,
    event: i64,
    found: &Found,
    attempts: u32,
    retrieved_at: Option<Millis>,
) -> Result<(), Error> {
    let (links, bodies) = contents::encode(&found.links);
    tx.prepare_cached(RETRIEVED)?.execute(params![
        event,
        found.session.outcome.as_str(),
        found.session.kind.as_str(),
        found.session.status,
        attempts,
        retrieved_at,
        links,
        bodies
    ])?;
    tx.prepare_cached(MENTION)?.execute([event])?;
    Ok(())
}

/// A planned delivery that any instance may claim.
pub(super) fn due(sink: &str) -> Planned {
    Planned {
        sink: sink.to_owned(),
        is_held: false,
    }
}
