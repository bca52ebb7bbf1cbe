//! Ends work: many ends in one transaction of a few statements. Every end is fenced: it is written only if its lease is
//! still valid.

use std::collections::HashMap;

use deadpool_postgres::{Client, Transaction};
use uuid::Uuid;

use super::server_clock::ServerClock;
use super::work;
use super::writes::{Delivered, Writes, text};
use super::{content, late, operate, progress, repeat, row};
use crate::domain::{EventState, Millis};
use crate::journal::{Again, DeliveryEnd, End, Ended, Error, How, Lease, Retrieval, Seen, Task};

/// A row of the work queue.
struct Row {
    tries: i32,
    started_at: i64,
    again: Again,
}

/// The end of a refresh.
struct RefreshEnd<'a> {
    /// Its index among the ends.
    at: usize,
    event: i64,
    /// The time until the next refresh.
    next: Option<Millis>,
    /// What was asked for and this refresh did not see, and the time until it is fetched.
    noted_since: Option<(Again, Millis)>,
    seen: &'a Seen,
}

impl RefreshEnd<'_> {
    /// Writes the end. Returns `false` when the event to amend no longer exists.
    async fn write(&self, transaction: &Transaction<'_>) -> Result<bool, Error> {
        let refreshed = match self.seen {
            Seen::Nothing => self.event,
            Seen::Same(found) => {
                late::same(transaction, self.event, found).await?;
                self.event
            }
            Seen::Amended(amendment) => {
                match late::amend(transaction, self.event, amendment).await? {
                    Some(amended) => amended,
                    None => return Ok(false),
                }
            }
        };
        match (self.noted_since, self.next) {
            (Some((again, due_in)), _) => {
                repeat::schedule(transaction, refreshed, again, due_in).await?;
            }
            (None, Some(next)) => progress::schedule_refresh(transaction, refreshed, next).await?,
            (None, None) => {}
        }
        Ok(true)
    }
}

/// Records how work ended.
pub(super) async fn finish(
    client: &mut Client,
    clock: ServerClock,
    owner: Uuid,
    ends: &[End],
) -> Result<Vec<Ended>, Error> {
    let mut events: Vec<i64> = ends.iter().map(|end| end.lease.event).collect();
    events.sort_unstable();
    events.dedup();
    let transaction = client.transaction().await?;
    let held = held(&transaction, owner, &events).await?;
    let replayed = operate::waiting(&transaction).await?;
    let (mut writes, mut ended) = (Writes::default(), Vec::with_capacity(ends.len()));
    let mut refreshes = Vec::new();
    for end in ends {
        let lease = &end.lease;
        let key = (lease.event, lease.task.to_string(), lease.fence);
        let Some(row) = held.get(&key) else {
            ended.push(Ended::Lost);
            continue;
        };
        match &end.how {
            How::Retrieval(how) => {
                let may_hold = !replayed.contains(&lease.event);
                writes.retrieval(end, how, row, clock, may_hold);
            }
            How::Delivery(how) => writes.delivery(end, how, row, clock),
            How::Refresh {
                next,
                noted_at,
                retry_at,
                seen,
            } => {
                writes.remove(lease);
                // If another notification came meanwhile, the content may still be that of the note before.
                let is_new = row.again.noted_at() > *noted_at;
                refreshes.push(RefreshEnd {
                    at: ended.len(),
                    event: lease.event,
                    next: next.map(|next| clock.distance(next)),
                    noted_since: is_new
                        .then(|| (row.again, retry_at.map_or(0, |at| clock.distance(at)))),
                    seen,
                });
            }
            How::GivenBack => writes.again(lease, lease.task.clone(), 0, row.tries, None, None),
        }
        ended.push(Ended::kept(match &end.how {
            How::Retrieval(how) if matches!(**how, Retrieval::Dead { .. }) => {
                Some(EventState::Dead)
            }
            _ => None,
        }));
    }
    let (planned, mut over) = writes.write(&transaction, owner).await?;
    for refresh in refreshes {
        if !refresh.write(&transaction).await? {
            ended[refresh.at] = Ended::Lost;
        }
    }
    let planned_for: Vec<i64> = planned.iter().map(|lease| lease.event).collect();
    let sequences = match &planned_for[..] {
        [] => HashMap::new(),
        events => content::sequences(&transaction, events).await?,
    };
    // An event is over with the last of its ends.
    for (end, ended) in ends.iter().zip(&mut ended).rev() {
        let Ended::Kept {
            event,
            deliveries,
            sequence,
        } = ended
        else {
            continue;
        };
        if event.is_none() {
            *event = over.remove(&end.lease.event);
        }
        if matches!(&end.how, How::Retrieval(end) if matches!(**end, Retrieval::Deliver { .. })) {
            let of_it = planned
                .iter()
                .filter(|lease| lease.event == end.lease.event);
            deliveries.extend(of_it.cloned());
            *sequence = sequences.get(&end.lease.event).copied();
        }
    }
    if !replayed.is_empty() {
        operate::replay_what_is_free(&transaction).await?;
    }
    transaction.commit().await?;
    Ok(ended)
}

/// The leases that this instance holds on these events. Locks the rows of all of their work.
async fn held(
    transaction: &Transaction<'_>,
    owner: Uuid,
    events: &[i64],
) -> Result<HashMap<(i64, String, i64), Row>, Error> {
    let mut held = HashMap::new();
    for found in work::lock(transaction, events).await? {
        if row::get::<Option<Uuid>>(&found, "owner")? != Some(owner) {
            continue;
        }
        let key = (
            row::get(&found, "event")?,
            row::get(&found, "task")?,
            row::get(&found, "fence")?,
        );
        let row = Row {
            tries: row::get(&found, "tries")?,
            started_at: row::get(&found, "started_at")?,
            again: repeat::again(&found)?,
        };
        held.insert(key, row);
    }
    Ok(held)
}

impl Writes {
    /// Ends an attempt to retrieve an event.
    fn retrieval(
        &mut self,
        end: &End,
        how: &Retrieval,
        row: &Row,
        clock: ServerClock,
        may_hold: bool,
    ) {
        let lease = &end.lease;
        let (event, attempts) = (lease.event, row.tries + 1);
        match how {
            Retrieval::Deliver {
                found,
                sinks,
                refresh_at,
            } => {
                self.remove(lease);
                self.found.push((event, found.clone(), attempts, true));
                self.schedule_refresh(event, *refresh_at, clock);
                let planned = sinks
                    .iter()
                    .map(|planned| (event, planned.sink.clone(), planned.is_held && may_hold));
                self.planned.extend(planned);
                self.retrieved.push(event);
                self.moves(lease.task.counted_state(), EventState::Delivering);
                self.over.push(event);
            }
            Retrieval::Same { found, same_as } => {
                self.remove(lease);
                self.found.push((event, found.clone(), attempts, true));
                self.retrieved.push(event);
                self.moves(lease.task.counted_state(), EventState::Delivering);
                self.same.0.push(event);
                self.same.1.push(row::uuid(*same_as));
                self.over.push(event);
            }
            Retrieval::Retry {
                found,
                at,
                tried_for,
                reason,
                sinks,
            } => {
                let tried_ms = i64::try_from(tried_for.as_millis()).unwrap_or(i64::MAX);
                let next = self.mark_begun(lease);
                let due_in = clock.distance(*at);
                self.again(lease, next, due_in, attempts, Some(tried_ms), Some(reason));
                self.found.push((event, found.clone(), attempts, false));
                self.announce(event, sinks);
                self.failed(end, "retrieve", reason);
            }
            Retrieval::Announced { sinks } => {
                let next = self.mark_begun(lease);
                self.again(lease, next, 0, row.tries, None, None);
                self.announce(event, sinks);
            }
            Retrieval::Dead {
                found,
                reason,
                sinks,
            } => {
                self.remove(lease);
                self.found.push((event, found.clone(), attempts, false));
                self.announce(event, sinks);
                self.dead.0.push(event);
                self.dead.1.push(text(reason));
                self.dead.2.push(reason.cause.as_str());
                self.moves(lease.task.counted_state(), EventState::Dead);
                let given_up = reason.clone().after("given up");
                self.failed(end, "retrieve", &given_up);
            }
        }
    }

    /// Ends a delivery attempt.
    fn delivery(&mut self, end: &End, how: &DeliveryEnd, row: &Row, clock: ServerClock) {
        let lease = &end.lease;
        // Only a delivery's lease names a sink.
        let Some(sink) = lease.task.sink() else {
            return;
        };
        let what = format!("deliver to {sink}");
        let (state, delivered_at, reason) = match how {
            DeliveryEnd::Retry { at, reason } => {
                self.failed(end, &what, reason);
                let (task, due_in) = (lease.task.clone(), clock.distance(*at));
                return self.again(lease, task, due_in, row.tries + 1, None, Some(reason));
            }
            DeliveryEnd::Delivered { at, applied_by } => {
                if let Some(due) = applied_by {
                    self.unapplied.0.push(lease.event);
                    self.unapplied.1.push(sink.to_owned());
                    self.unapplied.2.push(clock.distance(*due));
                }
                ("delivered", Some(at.as_millisecond()), None)
            }
            DeliveryEnd::Dead { reason } => ("dead", None, Some(reason)),
        };
        if let Some(reason) = reason {
            self.failed(end, &what, reason);
        }
        self.remove(lease);
        self.delivered.push(Delivered {
            event: lease.event,
            sink: sink.to_owned(),
            state,
            attempts: row.tries + 1,
            started_at: row.started_at,
            delivered_at,
            reason: reason.cloned(),
            took: end.took,
            instance: end.instance.to_string(),
        });
        self.over.push(lease.event);
    }

    /// Turns a task that nobody has worked on yet into one that has been begun.
    fn mark_begun(&mut self, lease: &Lease) -> Task {
        if lease.task != Task::New {
            return lease.task.clone();
        }
        self.moves(EventState::Received, EventState::Retrieving);
        Task::Retrieve
    }
}
