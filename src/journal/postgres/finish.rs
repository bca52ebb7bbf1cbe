//! Ending work: many ends in one transaction of a few statements. Every end is fenced: it is written only while the lease
//! it was made under still stands.

use std::collections::HashMap;

use deadpool_postgres::{Client, Transaction};
use futures_util::future::try_join_all;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::late;
use super::operate;
use super::row;
use super::server_clock::ServerClock;
use super::work::{self, WHEN_RETRIEVED};
use crate::domain::{EventState, Millis};
use crate::journal::contents;
use crate::journal::lease::new_fence;
use crate::journal::{DeliveryEnd, End, Ended, Error, Found, How, Lease, Retrieval, Task};

const REMOVE: &str =
    "DELETE FROM work USING unnest($1::bigint[], $2::text[]) AS ended (event, task)
    WHERE work.event = ended.event AND work.task = ended.task";
const AGAIN: &str = "UPDATE work SET owner = NULL, due = server_millis() + again.due_in, tries = again.tries,
        tried_ms = coalesce(again.tried_ms, work.tried_ms), cause = coalesce(again.cause, work.cause), task = again.next
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::integer[], $6::bigint[], $7::text[])
        AS again (event, task, next, due_in, tries, tried_ms, cause)
    WHERE work.event = again.event AND work.task = again.task";
const FOUND: &str = "INSERT INTO retrievals
        (event, outcome, kind, session_status, attempts, retrieved_at, links, bodies, encounter_id)
    SELECT found.event, found.outcome, found.kind, found.session_status, found.attempts,
        CASE WHEN is_retrieved THEN server_millis() END, links, bodies, encounter_id
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::boolean[], $7::text[], $8::bytea[])
        AS found (event, outcome, kind, session_status, attempts, is_retrieved, links, bodies)
    JOIN receipts ON seq = found.event
    ON CONFLICT (event) DO UPDATE SET outcome = excluded.outcome, kind = excluded.kind,
        session_status = excluded.session_status, attempts = excluded.attempts, retrieved_at = excluded.retrieved_at,
        links = excluded.links, bodies = excluded.bodies";
const PLAN: &str = "INSERT INTO work (event, task, due, owner, fence, started_at)
    SELECT planned.event, 'deliver:' || planned.sink, server_millis(), CASE WHEN is_held THEN $4::uuid END, $5,
        server_millis()
    FROM unnest($1::bigint[], $2::text[], $3::boolean[]) AS planned (event, sink, is_held)
    WHERE NOT EXISTS (SELECT FROM deliveries WHERE deliveries.event = planned.event AND deliveries.sink = planned.sink)
    ON CONFLICT (event, task) DO NOTHING
    RETURNING event, task, owner IS NOT NULL AS is_held";
/// Those that waited for it.
const START: &str = "UPDATE work SET due = server_millis(), started_at = server_millis()
    WHERE event = ANY ($1) AND due = $2 AND owner IS NULL";
/// The same for one sink.
const START_ONE: &str = "UPDATE work SET due = server_millis(), started_at = server_millis()
    FROM unnest($1::bigint[], $2::text[]) AS told (event, sink)
    WHERE work.event = told.event AND work.task = 'deliver:' || told.sink AND due = $3 AND owner IS NULL";
const LOOK: &str = "INSERT INTO work (event, task, due, fence, started_at)
    SELECT event, 'refresh', server_millis() + due_in, $3, server_millis()
    FROM unnest($1::bigint[], $2::bigint[]) AS look (event, due_in)
    ON CONFLICT (event, task) DO UPDATE SET due = excluded.due";
const DELIVERED: &str = "INSERT INTO deliveries (event, sink, state, attempts, started_at, delivered_at, last_error)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[], $7::text[])
    ON CONFLICT (event, sink) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
        started_at = excluded.started_at, delivered_at = excluded.delivered_at, last_error = excluded.last_error";
const HISTORY: &str = "INSERT INTO attempts (event, at, what, detail)
    SELECT event, server_millis(), what, detail
    FROM unnest($1::bigint[], $2::text[], $3::text[]) AS lines (event, what, detail)";
const DEAD: &str = "INSERT INTO endings (event, state, ended_at, cause, has_content)
    SELECT event, 'dead', server_millis(), cause, true FROM unnest($1::bigint[], $2::text[]) AS dead (event, cause)
    ON CONFLICT (event) DO NOTHING";
/// Done when all sinks have it, dead when one has given up and none is left to try.
const END_EVENTS: &str = "WITH ended AS (
        INSERT INTO endings (event, state, ended_at, cause, has_content)
        SELECT seq, CASE WHEN lost.sink IS NULL THEN 'done' ELSE 'dead' END, server_millis(),
            lost.sink || ': ' || coalesce(lost.last_error, ''), true
        FROM unnest($1::bigint[]) AS over (seq) LEFT JOIN LATERAL
            (SELECT sink, last_error FROM deliveries WHERE event = seq AND state = 'dead' ORDER BY sink LIMIT 1) AS lost
            ON true
        WHERE NOT EXISTS (SELECT FROM work WHERE event = seq AND task <> 'refresh')
        ON CONFLICT (event) DO NOTHING
        RETURNING event, state),
    counted AS (
        INSERT INTO counts (state, n)
        SELECT state, count(*) FROM ended GROUP BY state
        UNION ALL SELECT 'delivering', -count(*) FROM ended HAVING count(*) > 0)
    SELECT event, state FROM ended";

/// A column of parameters.
type Column = Box<dyn ToSql + Sync + Send>;

/// All that a batch of ends writes, column by column.
#[derive(Default)]
struct Writes {
    removed: (Vec<i64>, Vec<String>),
    again: Vec<Again>,
    found: Vec<(i64, Found, i32, bool)>,
    planned: Vec<(i64, String, bool)>,
    told: Vec<(i64, String)>,
    retrieved: Vec<i64>,
    looks: (Vec<i64>, Vec<i64>),
    delivered: Vec<Delivered>,
    history: Vec<(i64, String, String)>,
    dead: (Vec<i64>, Vec<String>),
    /// Events that may have ended.
    over: Vec<i64>,
    counts: HashMap<EventState, i64>,
}

/// Work that is to be done again.
struct Again {
    lease: Lease,
    next: Task,
    due_in: Millis,
    tries: i32,
    tried_ms: Option<i64>,
    cause: Option<String>,
}

/// A delivery that is over.
struct Delivered {
    event: i64,
    sink: String,
    state: &'static str,
    attempts: i32,
    started_at: i64,
    delivered_at: Option<i64>,
    reason: Option<String>,
}

/// A row of the queue as it stands.
struct Row {
    tries: i32,
    started_at: i64,
}

/// Writes down how work ended.
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
    let mut looks = Vec::new();
    for End { lease, how } in ends {
        let key = (lease.event, lease.task.to_string(), lease.fence);
        let Some(row) = held.get(&key) else {
            ended.push(Ended::Lost);
            continue;
        };
        match how {
            How::Retrieval(end) => {
                let may_hold = !replayed.contains(&lease.event);
                writes.retrieval(lease, row, end, clock, may_hold);
            }
            How::Delivery(end) => writes.delivery(lease, row, end, clock),
            How::Look { next, amendment } => {
                writes.remove(lease);
                match amendment {
                    None => writes.look(lease.event, *next, clock),
                    Some(amendment) => looks.push((ended.len(), lease.event, *next, amendment)),
                }
            }
            How::GivenBack => writes.again(lease, lease.task.clone(), 0, row.tries, None, None),
        }
        ended.push(Ended::kept(match how {
            How::Retrieval(end) if matches!(**end, Retrieval::Dead { .. }) => {
                Some(EventState::Dead)
            }
            _ => None,
        }));
    }
    let (planned, mut over) = writes.write(&transaction, owner).await?;
    for (at, event, next, amendment) in looks {
        let next = next.map(|next| clock.distance(next));
        if !late::amend(&transaction, event, next, amendment).await? {
            ended[at] = Ended::Lost;
        }
    }
    // An event is over with the last of its ends.
    for (end, ended) in ends.iter().zip(&mut ended).rev() {
        let Ended::Kept { event, deliveries } = ended else {
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
        }
    }
    if !replayed.is_empty() {
        operate::replay_what_is_free(&transaction).await?;
    }
    transaction.commit().await?;
    Ok(ended)
}

/// What this instance holds of these events. All of their work is locked.
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
        };
        held.insert(key, row);
    }
    Ok(held)
}

impl Writes {
    /// Ends an attempt at retrieving.
    fn retrieval(
        &mut self,
        lease: &Lease,
        row: &Row,
        end: &Retrieval,
        clock: ServerClock,
        may_hold: bool,
    ) {
        let (event, attempts) = (lease.event, row.tries + 1);
        match end {
            Retrieval::Deliver {
                found,
                sinks,
                refresh_at,
            } => {
                self.remove(lease);
                self.found.push((event, found.clone(), attempts, true));
                self.look(event, *refresh_at, clock);
                let planned = sinks
                    .iter()
                    .map(|planned| (event, planned.sink.clone(), planned.is_held && may_hold));
                self.planned.extend(planned);
                self.retrieved.push(event);
                self.moves(standing(&lease.task), EventState::Delivering);
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
                let next = self.looked_at(lease);
                let due_in = clock.distance(*at);
                self.again(lease, next, due_in, attempts, Some(tried_ms), Some(reason));
                self.found.push((event, found.clone(), attempts, false));
                self.tell(event, sinks);
                self.note(event, "retrieve", reason);
            }
            Retrieval::Announced { sinks } => {
                let next = self.looked_at(lease);
                self.again(lease, next, 0, row.tries, None, None);
                self.tell(event, sinks);
            }
            Retrieval::Dead {
                found,
                reason,
                sinks,
            } => {
                self.remove(lease);
                self.found.push((event, found.clone(), attempts, false));
                self.tell(event, sinks);
                self.dead.0.push(event);
                self.dead.1.push(row::text(reason).into_owned());
                self.moves(standing(&lease.task), EventState::Dead);
                self.note(event, "retrieve", &format!("given up: {reason}"));
            }
        }
    }

    /// Ends a delivery attempt.
    fn delivery(&mut self, lease: &Lease, row: &Row, end: &DeliveryEnd, clock: ServerClock) {
        // A lease of another kind is none for a delivery.
        let Some(sink) = lease.task.sink() else {
            return;
        };
        let what = format!("deliver to {sink}");
        let (state, delivered_at, reason) = match end {
            DeliveryEnd::Retry { at, reason } => {
                self.note(lease.event, &what, reason);
                let (task, due_in) = (lease.task.clone(), clock.distance(*at));
                return self.again(lease, task, due_in, row.tries + 1, None, Some(reason));
            }
            DeliveryEnd::Delivered { at } => ("delivered", Some(at.as_millisecond()), None),
            DeliveryEnd::Dead { reason } => ("dead", None, Some(reason)),
        };
        if let Some(reason) = reason {
            self.note(lease.event, &what, reason);
        }
        self.remove(lease);
        self.delivered.push(Delivered {
            event: lease.event,
            sink: sink.to_owned(),
            state,
            attempts: row.tries + 1,
            started_at: row.started_at,
            delivered_at,
            reason: reason.map(|reason| row::text(reason).into_owned()),
        });
        self.over.push(lease.event);
    }

    fn remove(&mut self, lease: &Lease) {
        self.removed.0.push(lease.event);
        self.removed.1.push(lease.task.to_string());
    }

    fn again(
        &mut self,
        lease: &Lease,
        next: Task,
        due_in: Millis,
        tries: i32,
        tried_ms: Option<i64>,
        cause: Option<&str>,
    ) {
        self.again.push(Again {
            lease: lease.clone(),
            next,
            due_in,
            tries,
            tried_ms,
            cause: cause.map(|cause| row::text(cause).into_owned()),
        });
    }

    /// One that nobody had looked at becomes one that is retrieved.
    fn looked_at(&mut self, lease: &Lease) -> Task {
        if lease.task != Task::New {
            return lease.task.clone();
        }
        self.moves(EventState::Received, EventState::Retrieving);
        Task::Retrieve
    }

    fn tell(&mut self, event: i64, sinks: &[String]) {
        for sink in sinks {
            self.planned.push((event, sink.clone(), false));
            self.told.push((event, sink.clone()));
        }
    }

    fn look(&mut self, event: i64, at: Option<Millis>, clock: ServerClock) {
        if let Some(at) = at {
            self.looks.0.push(event);
            self.looks.1.push(clock.distance(at));
        }
    }

    fn note(&mut self, event: i64, what: &str, detail: &str) {
        let text = |text: &str| row::text(text).into_owned();
        self.history.push((event, text(what), text(detail)));
    }

    fn moves(&mut self, from: EventState, to: EventState) {
        *self.counts.entry(from).or_default() -= 1;
        *self.counts.entry(to).or_default() += 1;
    }

    /// Writes all of it, in as few round trips as can be: statements are sent one after the other without waiting in
    /// between. Gives the deliveries that are held now, and the events that are over.
    async fn write(
        self,
        transaction: &Transaction<'_>,
        owner: Uuid,
    ) -> Result<(Vec<Lease>, HashMap<i64, EventState>), Error> {
        let fence = new_fence();
        let mut first: Vec<(&str, Vec<Column>)> = Vec::new();
        let mut then: Vec<(&str, Vec<Column>)> = Vec::new();
        if !self.removed.0.is_empty() {
            first.push((
                REMOVE,
                vec![Box::new(self.removed.0), Box::new(self.removed.1)],
            ));
        }
        if !self.again.is_empty() {
            first.push((AGAIN, again_columns(&self.again)));
        }
        if !self.found.is_empty() {
            first.push((FOUND, found_columns(&self.found)));
        }
        if !self.delivered.is_empty() {
            first.push((DELIVERED, delivered_columns(&self.delivered)));
        }
        if !self.looks.0.is_empty() {
            let columns: Vec<Column> = vec![
                Box::new(self.looks.0),
                Box::new(self.looks.1),
                Box::new(fence),
            ];
            first.push((LOOK, columns));
        }
        if !self.dead.0.is_empty() {
            first.push((DEAD, vec![Box::new(self.dead.0), Box::new(self.dead.1)]));
        }
        if !self.history.is_empty() {
            let (mut events, mut whats, mut details) = (Vec::new(), Vec::new(), Vec::new());
            for (event, what, detail) in self.history {
                events.push(event);
                whats.push(what);
                details.push(detail);
            }
            first.push((
                HISTORY,
                vec![Box::new(events), Box::new(whats), Box::new(details)],
            ));
        }
        let changes: Vec<_> = self.counts.into_iter().filter(|(_, by)| *by != 0).collect();
        if !changes.is_empty() {
            let states: Vec<&'static str> =
                changes.iter().map(|(state, _)| state.as_str()).collect();
            let by: Vec<i64> = changes.iter().map(|(_, by)| *by).collect();
            first.push((
                "INSERT INTO counts (state, n) SELECT * FROM unnest($1::text[], $2::bigint[])",
                vec![Box::new(states), Box::new(by)],
            ));
        }
        if !self.told.is_empty() {
            let (events, sinks): (Vec<i64>, Vec<String>) = self.told.into_iter().unzip();
            let columns: Vec<Column> =
                vec![Box::new(events), Box::new(sinks), Box::new(WHEN_RETRIEVED)];
            then.push((START_ONE, columns));
        }
        if !self.retrieved.is_empty() {
            then.push((
                START,
                vec![Box::new(self.retrieved), Box::new(WHEN_RETRIEVED)],
            ));
        }
        let plan = async {
            if self.planned.is_empty() {
                return Ok(Vec::new());
            }
            let (mut events, mut sinks, mut held) = (Vec::new(), Vec::new(), Vec::new());
            for (event, sink, is_held) in self.planned {
                events.push(event);
                sinks.push(sink);
                held.push(is_held);
            }
            let plan = transaction.prepare_cached(PLAN).await?;
            let rows = transaction
                .query(&plan, &[&events, &sinks, &held, &owner, &fence])
                .await?;
            leases(&rows, fence)
        };
        execute(transaction, first).await?;
        let planned = plan.await?;
        execute(transaction, then).await?;
        let mut over = HashMap::new();
        if !self.over.is_empty() {
            let end = transaction.prepare_cached(END_EVENTS).await?;
            for ended in transaction.query(&end, &[&self.over]).await? {
                over.insert(row::get(&ended, "event")?, row::word(&ended, "state")?);
            }
        }
        Ok((planned, over))
    }
}

/// The deliveries that were planned for this instance to make.
fn leases(rows: &[tokio_postgres::Row], fence: i64) -> Result<Vec<Lease>, Error> {
    let mut held = Vec::new();
    for planned in rows {
        if row::get(planned, "is_held")? {
            held.push(Lease {
                event: row::get(planned, "event")?,
                task: row::task(planned, "task")?,
                fence,
            });
        }
    }
    Ok(held)
}

/// Sends statements one after the other without waiting in between.
async fn execute(
    transaction: &Transaction<'_>,
    statements: Vec<(&str, Vec<Column>)>,
) -> Result<(), Error> {
    let prepared = statements
        .iter()
        .map(|(sql, _)| transaction.prepare_cached(sql));
    let prepared = try_join_all(prepared).await?;
    let columns: Vec<Vec<&(dyn ToSql + Sync)>> = statements
        .iter()
        .map(|(_, columns)| {
            columns
                .iter()
                .map(|column| &**column as &(dyn ToSql + Sync))
                .collect()
        })
        .collect();
    let sent = prepared
        .iter()
        .zip(&columns)
        .map(|(statement, columns)| transaction.execute(statement, columns));
    try_join_all(sent).await?;
    Ok(())
}

fn again_columns(again: &[Again]) -> Vec<Column> {
    let column = |value: fn(&Again) -> String| again.iter().map(value).collect::<Vec<_>>();
    vec![
        Box::new(
            again
                .iter()
                .map(|again| again.lease.event)
                .collect::<Vec<_>>(),
        ),
        Box::new(column(|again| again.lease.task.to_string())),
        Box::new(column(|again| again.next.to_string())),
        Box::new(again.iter().map(|again| again.due_in).collect::<Vec<_>>()),
        Box::new(again.iter().map(|again| again.tries).collect::<Vec<_>>()),
        Box::new(again.iter().map(|again| again.tried_ms).collect::<Vec<_>>()),
        Box::new(
            again
                .iter()
                .map(|again| again.cause.clone())
                .collect::<Vec<_>>(),
        ),
    ]
}

fn found_columns(found: &[(i64, Found, i32, bool)]) -> Vec<Column> {
    let (mut links, mut bodies) = (Vec::new(), Vec::new());
    for (_, found, _, _) in found {
        let (stored, body) = contents::encode(&found.links);
        links.push(stored);
        bodies.push(body);
    }
    let text = |text: &String| row::text(text).into_owned();
    vec![
        Box::new(found.iter().map(|(event, ..)| *event).collect::<Vec<_>>()),
        Box::new(
            found
                .iter()
                .map(|(_, found, ..)| found.outcome.as_str())
                .collect::<Vec<_>>(),
        ),
        Box::new(
            found
                .iter()
                .map(|(_, found, ..)| found.kind.as_str())
                .collect::<Vec<_>>(),
        ),
        Box::new(
            found
                .iter()
                .map(|(_, found, ..)| found.session_status.as_ref().map(text))
                .collect::<Vec<_>>(),
        ),
        Box::new(
            found
                .iter()
                .map(|(_, _, attempts, _)| *attempts)
                .collect::<Vec<_>>(),
        ),
        Box::new(
            found
                .iter()
                .map(|(.., is_retrieved)| *is_retrieved)
                .collect::<Vec<_>>(),
        ),
        Box::new(links),
        Box::new(bodies),
    ]
}

fn delivered_columns(delivered: &[Delivered]) -> Vec<Column> {
    vec![
        Box::new(delivered.iter().map(|it| it.event).collect::<Vec<_>>()),
        Box::new(
            delivered
                .iter()
                .map(|it| it.sink.clone())
                .collect::<Vec<_>>(),
        ),
        Box::new(delivered.iter().map(|it| it.state).collect::<Vec<_>>()),
        Box::new(delivered.iter().map(|it| it.attempts).collect::<Vec<_>>()),
        Box::new(delivered.iter().map(|it| it.started_at).collect::<Vec<_>>()),
        Box::new(
            delivered
                .iter()
                .map(|it| it.delivered_at)
                .collect::<Vec<_>>(),
        ),
        Box::new(
            delivered
                .iter()
                .map(|it| it.reason.clone())
                .collect::<Vec<_>>(),
        ),
    ]
}

/// Where an event stands in the counts while this is to be done.
fn standing(task: &Task) -> EventState {
    match task {
        Task::Forward | Task::New => EventState::Received,
        Task::Retrieve => EventState::Retrieving,
        Task::Deliver(_) | Task::Refresh => EventState::Delivering,
    }
}

/// One line of an event's history.
pub(super) async fn history(
    transaction: &Transaction<'_>,
    event: i64,
    what: &str,
    detail: &str,
) -> Result<(), Error> {
    let history = transaction.prepare_cached(HISTORY).await?;
    let (what, detail) = ([row::text(what)], [row::text(detail)]);
    transaction
        .execute(&history, &[&&[event][..], &&what[..], &&detail[..]])
        .await?;
    Ok(())
}

/// Makes deliveries due that whoever claims them makes, but for those that were made.
pub(super) async fn plan_due(
    transaction: &Transaction<'_>,
    event: i64,
    sinks: &[String],
) -> Result<(), Error> {
    let writes = Writes {
        planned: sinks
            .iter()
            .map(|sink| (event, sink.clone(), false))
            .collect(),
        retrieved: vec![event],
        ..Writes::default()
    };
    writes.write(transaction, Uuid::nil()).await?;
    Ok(())
}

/// Asks for what an event was delivered without in `distance`.
pub(super) async fn look_at(
    transaction: &Transaction<'_>,
    event: i64,
    distance: Millis,
) -> Result<(), Error> {
    let look = transaction.prepare_cached(LOOK).await?;
    transaction
        .execute(&look, &[&&[event][..], &&[distance][..], &new_fence()])
        .await?;
    Ok(())
}

/// Writes down what was found of an event that was retrieved.
pub(super) async fn write_found(
    transaction: &Transaction<'_>,
    event: i64,
    found: Found,
) -> Result<(), Error> {
    let writes = Writes {
        found: vec![(event, found, 0, true)],
        ..Writes::default()
    };
    writes.write(transaction, Uuid::nil()).await?;
    Ok(())
}

/// Ends an event that is being delivered, if no delivery is left to try.
pub(super) async fn end_event(transaction: &Transaction<'_>, event: i64) -> Result<(), Error> {
    let end = transaction.prepare_cached(END_EVENTS).await?;
    transaction.query(&end, &[&&[event][..]]).await?;
    Ok(())
}
