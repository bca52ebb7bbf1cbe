//! Writes a batch of ends in as few round trips as possible.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::Transaction;
use futures_util::future::try_join_all;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::row;
use super::writes::{Again, Delivered, Writes, text};
use crate::domain::{EventState, Reason};
use crate::journal::contents;
use crate::journal::lease::{WHEN_RETRIEVED, new_fence};
use crate::journal::{Error, Found, Lease};

const REMOVE: &str =
    "DELETE FROM work USING unnest($1::bigint[], $2::text[]) AS ended (event, task)
    WHERE work.event = ended.event AND work.task = ended.task";
const AGAIN: &str = "UPDATE work SET owner = NULL, due = server_millis() + again.due_in, tries = again.tries,
        tried_ms = coalesce(again.tried_ms, work.tried_ms), cause = coalesce(again.cause, work.cause),
        cause_code = coalesce(again.cause_code, work.cause_code), task = again.next
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::integer[], $6::bigint[], $7::text[], $8::text[])
        AS again (event, task, next, due_in, tries, tried_ms, cause, cause_code)
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
    SELECT planned.event, 'deliver:' || planned.sink, server_millis(),
        CASE WHEN is_held
            AND NOT EXISTS (SELECT FROM sink_pauses WHERE sink_pauses.sink = planned.sink AND resumed_at IS NULL)
            THEN $4::uuid END, $5, server_millis()
    FROM unnest($1::bigint[], $2::text[], $3::boolean[]) AS planned (event, sink, is_held)
    WHERE NOT EXISTS (SELECT FROM deliveries WHERE deliveries.event = planned.event AND deliveries.sink = planned.sink)
    ON CONFLICT (event, task) DO NOTHING
    RETURNING event, task, owner IS NOT NULL AS is_held";
/// Starts the deliveries that were waiting for retrieval.
const START: &str = "UPDATE work SET due = server_millis(), started_at = server_millis()
    WHERE event = ANY ($1) AND due = $2 AND owner IS NULL";
/// As `START`, for one sink.
const START_ONE: &str = "UPDATE work SET due = server_millis(), started_at = server_millis()
    FROM unnest($1::bigint[], $2::text[]) AS announced (event, sink)
    WHERE work.event = announced.event AND work.task = 'deliver:' || announced.sink AND due = $3 AND owner IS NULL";
pub(super) const REFRESH: &str = "INSERT INTO work (event, task, due, fence, started_at)
    SELECT event, 'refresh', server_millis() + due_in, $3, server_millis()
    FROM unnest($1::bigint[], $2::bigint[]) AS refresh (event, due_in)
    ON CONFLICT (event, task) DO UPDATE SET due = CASE WHEN work.noted_at IS NULL THEN excluded.due ELSE work.due END";
const DELIVERED: &str = "INSERT INTO deliveries
        (event, sink, state, attempts, started_at, delivered_at, last_error, cause_code, http_status, took_ms, instance)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[], $7::text[],
        $8::text[], $9::integer[], $10::bigint[], $11::text[])
    ON CONFLICT (event, sink) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
        started_at = excluded.started_at, delivered_at = excluded.delivered_at, last_error = excluded.last_error,
        cause_code = excluded.cause_code, http_status = excluded.http_status, took_ms = excluded.took_ms,
        instance = excluded.instance";
const HISTORY: &str =
    "INSERT INTO attempts (event, at, what, detail, cause_code, http_status, took_ms, instance)
    SELECT event, server_millis(), what, detail, cause_code, http_status, took_ms, instance
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::text[])
        AS line (event, what, detail, cause_code, http_status, took_ms, instance)";
const DEAD: &str = "INSERT INTO endings (event, state, ended_at, cause, cause_code, has_content)
    SELECT event, 'dead', server_millis(), cause, cause_code, true
    FROM unnest($1::bigint[], $2::text[], $3::text[]) AS dead (event, cause, cause_code)
    ON CONFLICT (event) DO NOTHING";
const UNAPPLIED: &str = "INSERT INTO unapplied (event, sink, due)
    SELECT event, sink, server_millis() + due_in FROM unnest($1::bigint[], $2::text[], $3::bigint[])
        AS awaited (event, sink, due_in)
    ON CONFLICT (event, sink) DO UPDATE SET due = excluded.due";
/// Ends an event as done because another event has already delivered the same content, unless the event has deliveries:
/// a sink that got the notification earlier, or for which a replay was requested, gets this event all the same.
const SAME: &str = "WITH same AS (
        SELECT event, same_as FROM unnest($1::bigint[], $2::uuid[]) AS same (event, same_as)
        WHERE NOT EXISTS (SELECT FROM work WHERE work.event = same.event AND task LIKE 'deliver:%')
            AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.event = same.event)),
    counted AS (
        INSERT INTO counts (state, n)
        SELECT 'done', count(*) FROM same UNION ALL SELECT 'delivering', -count(*) FROM same)
    INSERT INTO endings (event, state, ended_at, has_content, same_as)
    SELECT event, 'done', server_millis(), true, same_as FROM same";
/// Ends events: done when all sinks have the event, dead when a sink has given up and none is left to try.
pub(super) const END_EVENTS: &str = "WITH ended AS (
        INSERT INTO endings (event, state, ended_at, cause, cause_code, has_content)
        SELECT seq, CASE WHEN lost.sink IS NULL THEN 'done' ELSE 'dead' END, server_millis(),
            lost.sink || ': ' || coalesce(lost.last_error, ''), lost.cause_code, true
        FROM unnest($1::bigint[]) AS over (seq) LEFT JOIN LATERAL
            (SELECT sink, last_error, cause_code FROM deliveries WHERE event = seq AND state = 'dead' ORDER BY sink LIMIT 1)
            AS lost ON true
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

impl Writes {
    /// Writes the whole batch in as few round trips as possible: statements are pipelined, that is, sent without
    /// waiting for the answer to the one before. Returns the leases on deliveries that this instance now holds, and the
    /// events that are over.
    pub(super) async fn write(
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
        if !self.refreshes.0.is_empty() {
            let columns: Vec<Column> = vec![
                Box::new(self.refreshes.0),
                Box::new(self.refreshes.1),
                Box::new(fence),
            ];
            first.push((REFRESH, columns));
        }
        if !self.dead.0.is_empty() {
            let (events, texts, causes) = self.dead;
            let columns: Vec<Column> = vec![Box::new(events), Box::new(texts), Box::new(causes)];
            first.push((DEAD, columns));
        }
        if !self.unapplied.0.is_empty() {
            let (events, sinks, due_in) = self.unapplied;
            let columns: Vec<Column> = vec![Box::new(events), Box::new(sinks), Box::new(due_in)];
            first.push((UNAPPLIED, columns));
        }
        if !self.same.0.is_empty() {
            first.push((SAME, vec![Box::new(self.same.0), Box::new(self.same.1)]));
        }
        if !self.history.is_empty() {
            let lines = &self.history;
            let columns = vec![
                column(lines, |line| line.event),
                column(lines, |line| line.what.clone()),
                column(lines, |line| line.detail.clone()),
                column(lines, |line| line.cause.as_str()),
                column(lines, |line| line.http_status.map(i32::from)),
                column(lines, |line| took_ms(line.took)),
                column(lines, |line| line.instance.clone()),
            ];
            first.push((HISTORY, columns));
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
        if !self.announced.is_empty() {
            let (events, sinks): (Vec<i64>, Vec<String>) = self.announced.into_iter().unzip();
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

/// The leases on the deliveries that were planned for this instance.
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

/// Pipelines statements.
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

fn cause(reason: &Reason) -> &'static str {
    reason.cause.as_str()
}

fn took_ms(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}

/// One parameter column of these rows.
fn column<T, V>(rows: &[T], value: impl Fn(&T) -> V) -> Column
where
    Vec<V>: ToSql + Sync + Send + 'static,
{
    Box::new(rows.iter().map(value).collect::<Vec<V>>())
}

fn again_columns(rows: &[Again]) -> Vec<Column> {
    vec![
        column(rows, |again| again.lease.event),
        column(rows, |again| again.lease.task.to_string()),
        column(rows, |again| again.next.to_string()),
        column(rows, |again| again.due_in),
        column(rows, |again| again.tries),
        column(rows, |again| again.tried_ms),
        column(rows, |again| again.reason.as_ref().map(text)),
        column(rows, |again| again.reason.as_ref().map(cause)),
    ]
}

fn found_columns(rows: &[(i64, Found, i32, bool)]) -> Vec<Column> {
    let (links, bodies): (Vec<_>, Vec<_>) = rows
        .iter()
        .map(|(_, found, ..)| contents::encode(&found.links))
        .unzip();
    let text = |text: &String| row::text(text).into_owned();
    vec![
        column(rows, |(event, ..)| *event),
        column(rows, |(_, found, ..)| found.session.outcome.as_str()),
        column(rows, |(_, found, ..)| found.session.kind.as_str()),
        column(rows, |(_, found, ..)| {
            found.session.status.as_ref().map(text)
        }),
        column(rows, |(_, _, attempts, _)| *attempts),
        column(rows, |(.., is_retrieved)| *is_retrieved),
        Box::new(links),
        Box::new(bodies),
    ]
}

fn delivered_columns(rows: &[Delivered]) -> Vec<Column> {
    vec![
        column(rows, |delivered| delivered.event),
        column(rows, |delivered| delivered.sink.clone()),
        column(rows, |delivered| delivered.state),
        column(rows, |delivered| delivered.attempts),
        column(rows, |delivered| delivered.started_at),
        column(rows, |delivered| delivered.delivered_at),
        column(rows, |delivered| delivered.reason.as_ref().map(text)),
        column(rows, |delivered| delivered.reason.as_ref().map(cause)),
        column(rows, |delivered| {
            let reason = delivered.reason.as_ref();
            reason.and_then(|reason| reason.http_status).map(i32::from)
        }),
        column(rows, |delivered| took_ms(delivered.took)),
        column(rows, |delivered| delivered.instance.clone()),
    ]
}
