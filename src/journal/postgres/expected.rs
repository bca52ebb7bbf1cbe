//! Expected sessions: registered, asked for, and ended by their notification, by what was found, or by a named reason.
//!
//! A session is written by whoever has locked its row, so that of a notification and of what was found by asking one comes
//! first, and the other one sees it.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::within;
use super::expectation::context;
use super::server_clock::ServerClock;
use super::writes::Writes;
use super::{PostgresStore, WORK, counts, insert, look, row};
use crate::domain::{
    EncounterId, EventId, Expected, ExpectedState, Lane, Millis, Origin, Poll, Registration,
    SessionId, SessionKind, Source,
};
use crate::journal::expected::in_order;
use crate::journal::record::NewContent;
use crate::journal::{
    Appended, Change, Error, Expectations, ExpectedFilter, ExpectedPage, ExpectedStats, Follows,
    Found, NewEvent, NewExpected, POLLER_LEASE, PollAnswer, PollEnded, Polled, Recovered,
    Registered,
};

const SELECT: &str = "SELECT seq, session_id, encounter_id, kind, provider, origin, started_at, ended_at, deadline,
    registered_at, context, state, due, due_since, polls, last_status, last_result, aborted_at, settled_at, event,
    server_millis() AS now FROM expected";
/// What is known already is left alone, but for what was not known of it; one that the partner names itself is no sibling
/// any more, and what is known since may make it due sooner. One whose event is kept is met at once.
const EXPECT: &str = "WITH said AS (
        SELECT said.*, (SELECT id FROM receipts WHERE receipts.session_id = said.session_id AND junk IS NULL
                        ORDER BY seq LIMIT 1) AS event
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
                    $9::bigint[], $10::bytea[], $11::bigint[], $12::smallint[], $13::bigint[])
             AS said (session_id, encounter_id, kind, provider, origin, started_at, ended_at, deadline, registered_at,
                      context, due_in, lane, due_since))
    INSERT INTO expected AS known (session_id, encounter_id, kind, provider, origin, started_at, ended_at, deadline,
        registered_at, context, state, due, lane, due_since, settled_at, event)
    SELECT session_id, encounter_id, kind, provider, origin, started_at, ended_at, deadline, registered_at, context,
        CASE WHEN event IS NULL THEN 'open' ELSE 'met' END, CASE WHEN event IS NULL THEN server_millis() + due_in END, lane,
        due_since, CASE WHEN event IS NOT NULL THEN server_millis() END, event
    FROM said ORDER BY session_id
    ON CONFLICT (session_id) DO UPDATE SET encounter_id = coalesce(known.encounter_id, excluded.encounter_id),
        kind = CASE known.kind WHEN 'unknown' THEN excluded.kind ELSE known.kind END,
        provider = coalesce(known.provider, excluded.provider),
        origin = CASE known.origin WHEN 'sibling' THEN excluded.origin ELSE known.origin END,
        started_at = coalesce(known.started_at, excluded.started_at),
        ended_at = coalesce(known.ended_at, excluded.ended_at), deadline = coalesce(known.deadline, excluded.deadline),
        context = coalesce(known.context, excluded.context),
        lane = CASE WHEN excluded.due < known.due THEN excluded.lane ELSE known.lane END,
        due_since = CASE WHEN excluded.due < known.due THEN least(known.due_since, excluded.due_since)
            ELSE known.due_since END,
        due = CASE WHEN known.due IS NOT NULL THEN least(known.due, excluded.due) END
    RETURNING session_id, (xmax = 0) AS is_new";
const POLL_NOW: &str =
    "UPDATE expected SET due = server_millis(), lane = $2, due_since = least(due_since, $3),
        settled_at = NULL, state = CASE WHEN due IS NULL THEN 'polling' ELSE state END
    WHERE session_id = $1 AND event IS NULL";
const WITHDRAW: &str = "UPDATE expected SET state = 'withdrawn', due = NULL, settled_at = server_millis(), context = NULL
    WHERE session_id = $1 AND due IS NOT NULL";
const CHANGE: &str =
    "UPDATE expected SET ended_at = coalesce($2, ended_at), provider = coalesce($3, provider),
        deadline = coalesce($4, deadline),
        due = CASE WHEN due IS NOT NULL THEN coalesce(server_millis() + $5::bigint, due) END,
        due_since = coalesce($6, due_since), lane = coalesce($7, lane)
    WHERE session_id = $1";
/// One instance asks; another one does when that has not looked for so long.
const POLLER: &str = "INSERT INTO poller (owner, until) VALUES ($1, server_millis() + $2)
    ON CONFLICT (one) DO UPDATE SET owner = excluded.owner, until = excluded.until
    WHERE poller.owner = excluded.owner OR poller.until < server_millis()";
const NOTE: &str = "UPDATE expected SET state = $2, due = server_millis() + $3::bigint, lane = coalesce($4, lane),
        polls = polls + $5::integer, last_status = coalesce($6, last_status), last_result = $7,
        kind = CASE $8::text WHEN 'unknown' THEN kind ELSE $8 END, aborted_at = $9,
        settled_at = CASE WHEN $3::bigint IS NULL THEN server_millis() END, event = coalesce($10, event)
    WHERE seq = $1";
const MANY: i64 = 1000;
const FOLD: &str = "WITH folded AS (
        DELETE FROM expected_counts WHERE (SELECT pg_try_advisory_xact_lock($1)) RETURNING state, n)
    INSERT INTO expected_counts (state, n) SELECT state, sum(n) FROM folded GROUP BY state";

#[async_trait]
impl Expectations for PostgresStore {
    async fn expect(&self, sessions: Vec<NewExpected>) -> Result<Vec<Registered>, Error> {
        let lent = self.pool.lend().await?;
        let work = expect(&lent, self.clock, &sessions);
        let registered = within(WORK, work).await;
        lent.settle(registered)
    }

    async fn change_expected(
        &self,
        id: SessionId,
        change: Change,
        poll: Option<Poll>,
    ) -> Result<Option<Expected>, Error> {
        let lent = self.pool.lend().await?;
        let clock = self.clock;
        let work = async {
            let change_it = lent.prepare_cached(CHANGE).await?;
            let millis = |time: Option<jiff::Timestamp>| time.map(|time| time.as_millisecond());
            let provider = change.provider.as_deref().map(row::text);
            lent.execute(
                &change_it,
                &[
                    &row::text(id.as_str()),
                    &millis(change.ended_at),
                    &provider,
                    &millis(change.deadline),
                    &poll.map(|poll| clock.distance(poll.due)),
                    &poll.map(|poll| poll.due),
                    &poll.map(|poll| poll.lane.number()),
                ],
            )
            .await?;
            one(&*lent, clock, &id).await
        };
        let changed = within(WORK, work).await;
        lent.settle(changed)
    }

    async fn poll_now(&self, id: SessionId, now: Millis) -> Result<Option<Expected>, Error> {
        let lane = Lane::Ended.number();
        self.update(&id, POLL_NOW, &[&row::text(id.as_str()), &lane, &now])
            .await
    }

    async fn withdraw(&self, id: SessionId) -> Result<Option<Expected>, Error> {
        self.update(&id, WITHDRAW, &[&row::text(id.as_str())]).await
    }

    async fn expected(&self, id: SessionId) -> Result<Option<Expected>, Error> {
        let lent = self.looks.lend().await?;
        let found = look(self.look_deadline, one(&*lent, self.clock, &id)).await;
        lent.settle(found)
    }

    async fn list_expected(
        &self,
        filter: ExpectedFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<ExpectedPage, Error> {
        let lent = self.looks.lend().await?;
        let work = list(&lent, self.clock, &filter, limit, cursor);
        let page = look(self.look_deadline, work).await;
        lent.settle(page)
    }

    async fn due_sessions(
        &self,
        now: Millis,
        limit: usize,
    ) -> Result<Option<Vec<Expected>>, Error> {
        let lent = self.pool.lend().await?;
        let work = due(&lent, self, now, limit);
        let found = within(WORK, work).await;
        lent.settle(found)
    }

    async fn polled(&self, answers: Vec<Polled>) -> Result<Vec<PollEnded>, Error> {
        let mut lent = self.pool.lend().await?;
        let clock = self.clock;
        let work = async {
            let transaction = lent.transaction().await?;
            let mut ended = Vec::with_capacity(answers.len());
            for polled in &answers {
                ended.push(end(&transaction, clock, polled).await?);
            }
            transaction.commit().await?;
            Ok(ended)
        };
        let ended = within(WORK, work).await;
        lent.settle(ended)
    }

    async fn expected_stats(&self) -> Result<ExpectedStats, Error> {
        let lent = self.looks.lend().await?;
        let found = look(self.look_deadline, stats(&lent, self.clock)).await;
        lent.settle(found)
    }
}

impl PostgresStore {
    /// Changes a session by one statement, and gives how it stands.
    async fn update(
        &self,
        id: &SessionId,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Expected>, Error> {
        let lent = self.pool.lend().await?;
        let work = async {
            let statement = lent.prepare_cached(sql).await?;
            lent.execute(&statement, values).await?;
            one(&*lent, self.clock, id).await
        };
        let changed = within(WORK, work).await;
        lent.settle(changed)
    }
}

async fn expect(
    client: &Client,
    clock: ServerClock,
    sessions: &[NewExpected],
) -> Result<Vec<Registered>, Error> {
    // A statement meets each session once; what else is said of one in the same call is said after it.
    let mut registered = Vec::with_capacity(sessions.len());
    let mut rest = sessions;
    while !rest.is_empty() {
        let mut names = std::collections::HashSet::new();
        let is_first = |new: &&NewExpected| names.insert(new.registration.session_id.clone());
        let batch = rest.iter().take_while(is_first).count();
        let (now, later) = rest.split_at(batch);
        registered.extend(expect_batch(client, clock, now).await?);
        rest = later;
    }
    Ok(registered)
}

async fn expect_batch(
    client: &Client,
    clock: ServerClock,
    sessions: &[NewExpected],
) -> Result<Vec<Registered>, Error> {
    let said = || sessions.iter().map(|new| &new.registration);
    let text = |value: Option<&str>| value.map(|value| row::text(value).into_owned());
    let millis = |time: Option<jiff::Timestamp>| time.map(|time| time.as_millisecond());
    let ids: Vec<String> = said()
        .map(|said| row::text(said.session_id.as_str()).into_owned())
        .collect();
    let encounters: Vec<Option<String>> = said()
        .map(|said| text(said.encounter_id.as_ref().map(EncounterId::as_str)))
        .collect();
    let kinds: Vec<&str> = said().map(|said| said.kind.as_str()).collect();
    let providers: Vec<Option<String>> =
        said().map(|said| text(said.provider.as_deref())).collect();
    let origins: Vec<&str> = said().map(|said| said.origin.as_str()).collect();
    let started: Vec<Option<i64>> = said().map(|said| millis(said.started_at)).collect();
    let ended: Vec<Option<i64>> = said().map(|said| millis(said.ended_at)).collect();
    let deadlines: Vec<Option<i64>> = said().map(|said| millis(said.deadline)).collect();
    let contexts: Vec<Option<&[u8]>> = said()
        .map(|said| said.context.as_ref().map(|context| &context.0[..]))
        .collect();
    let registered: Vec<i64> = sessions
        .iter()
        .map(|new| new.registered_at.as_millisecond())
        .collect();
    let polls = || sessions.iter().map(|new| new.first_poll);
    let due_in: Vec<i64> = polls().map(|poll| clock.distance(poll.due)).collect();
    let lanes: Vec<i16> = polls().map(|poll| poll.lane.number()).collect();
    let due_since: Vec<i64> = polls().map(|poll| poll.due).collect();
    let statement = client.prepare_cached(EXPECT).await?;
    let rows = client
        .query(
            &statement,
            &[
                &ids,
                &encounters,
                &kinds,
                &providers,
                &origins,
                &started,
                &ended,
                &deadlines,
                &registered,
                &contexts,
                &due_in,
                &lanes,
                &due_since,
            ],
        )
        .await?;
    let mut new = std::collections::HashMap::new();
    for found in &rows {
        new.insert(
            row::get::<String>(found, "session_id")?,
            row::get::<bool>(found, "is_new")?,
        );
    }
    let select = client
        .prepare_cached(&format!("{SELECT} WHERE session_id = ANY ($1)"))
        .await?;
    let mut known = std::collections::HashMap::new();
    for found in client.query(&select, &[&ids]).await? {
        known.insert(
            row::get::<String>(&found, "session_id")?,
            read(&found, clock)?,
        );
    }
    ids.iter()
        .map(|id| {
            Ok(Registered {
                is_new: new.get(id).copied().unwrap_or(false),
                expected: known.get(id).cloned().ok_or(row::corrupt("session"))?,
            })
        })
        .collect()
}

/// Sessions that are due, if this instance is the one that asks.
async fn due(
    client: &Client,
    store: &PostgresStore,
    now: Millis,
    limit: usize,
) -> Result<Option<Vec<Expected>>, Error> {
    if !store.alive.is_so() {
        return Ok(None);
    }
    let lease = Millis::try_from(POLLER_LEASE.as_millis()).unwrap_or(Millis::MAX);
    let poller = client.prepare_cached(POLLER).await?;
    if client.execute(&poller, &[&store.owner, &lease]).await? == 0 {
        return Ok(None);
    }
    let ahead = store.clock.distance(now).max(0);
    let mut lanes = Vec::with_capacity(4);
    for (lane, order, limit) in [
        (Lane::Closing, "ASC", limit),
        (Lane::Ended, "DESC", limit),
        (Lane::Ended, "ASC", limit.div_ceil(4)),
        (Lane::Other, "ASC", limit),
    ] {
        let sql = format!(
            "{SELECT} WHERE lane = $1 AND due <= server_millis() + $2::bigint ORDER BY due {order} LIMIT $3"
        );
        let statement = client.prepare_cached(&sql).await?;
        let rows = client
            .query(&statement, &[&lane.number(), &ahead, &row::limit(limit)])
            .await?;
        lanes.push(all(&rows, store.clock)?);
    }
    let lanes: [Vec<Expected>; 4] = lanes.try_into().unwrap_or_default();
    Ok(Some(in_order(lanes)))
}

/// Writes down what came of a question.
async fn end(
    transaction: &Transaction<'_>,
    clock: ServerClock,
    polled: &Polled,
) -> Result<PollEnded, Error> {
    let lock = transaction
        .prepare_cached(
            "SELECT session_id, polls, due IS NOT NULL AS is_awaited, state FROM expected WHERE seq = $1 FOR UPDATE",
        )
        .await?;
    let Some(found) = transaction.query_opt(&lock, &[&polled.number]).await? else {
        return Ok(PollEnded::Lost);
    };
    let is_current =
        row::get(&found, "is_awaited")? && row::count(&found, "polls")? == polled.polls;
    if !is_current {
        let state: ExpectedState = row::word(&found, "state")?;
        return Ok(match state {
            ExpectedState::Met => PollEnded::Met,
            _ => PollEnded::Lost,
        });
    }
    match &polled.answer.follows {
        Follows::Again {
            poll,
            state,
            counts,
        } => {
            note(
                transaction,
                clock,
                polled,
                (*state, Some(*poll)),
                *counts,
                None,
            )
            .await?;
            Ok(PollEnded::Kept)
        }
        Follows::Over(state) => {
            note(transaction, clock, polled, (*state, None), true, None).await?;
            Ok(PollEnded::Kept)
        }
        Follows::Recovered(recovered) => {
            let session = row::get::<String>(&found, "session_id")?;
            recover(transaction, clock, polled, &session, recovered).await
        }
    }
}

/// Writes an answer down, and where the session stands.
async fn note(
    transaction: &Transaction<'_>,
    clock: ServerClock,
    polled: &Polled,
    (state, poll): (ExpectedState, Option<Poll>),
    counts: bool,
    event: Option<EventId>,
) -> Result<(), Error> {
    let PollAnswer {
        status,
        result,
        kind,
        aborted_at,
        ..
    } = &polled.answer;
    let statement = transaction.prepare_cached(NOTE).await?;
    transaction
        .execute(
            &statement,
            &[
                &polled.number,
                &state.as_str(),
                &poll.map(|poll| clock.distance(poll.due)),
                &poll.map(|poll| poll.lane.number()),
                &i32::from(counts),
                &status.as_deref().map(row::text),
                &row::text(result),
                &kind.as_str(),
                &aborted_at.map(|time| time.as_millisecond()),
                &event.map(row::uuid),
            ],
        )
        .await?;
    Ok(())
}

/// Makes the event of a session that has ended, unless there is one. A notification that is being kept waits for the
/// session's row, and sees this.
async fn recover(
    transaction: &Transaction<'_>,
    clock: ServerClock,
    polled: &Polled,
    session: &str,
    recovered: &Recovered,
) -> Result<PollEnded, Error> {
    let first = transaction
        .prepare_cached(
            "SELECT id FROM receipts WHERE session_id = $1 AND junk IS NULL ORDER BY seq LIMIT 1",
        )
        .await?;
    let mut known = match transaction.query_opt(&first, &[&session]).await? {
        Some(found) => Some(row::id(&found, "id")?),
        None => None,
    };
    if known.is_none() {
        let event = NewEvent {
            id: recovered.id,
            received_at: polled.at,
            generated_at: None,
            source: Source::Reconcile,
            stale: false,
            content: NewContent::Notification(Arc::new(recovered.notification.clone())),
        };
        let kept =
            insert::batch(transaction, uuid::Uuid::nil(), &[(Arc::new(event), false)]).await?;
        known = kept.into_iter().find_map(|kept| match kept.appended {
            Appended::Duplicate(id) => Some(id),
            Appended::New(_) => None,
        });
    }
    if known.is_some() {
        let end = (ExpectedState::Met, None);
        note(transaction, clock, polled, end, true, known).await?;
        return Ok(PollEnded::Met);
    }
    let number = transaction
        .prepare_cached("SELECT seq FROM receipts WHERE id = $1")
        .await?;
    let number = transaction
        .query_one(&number, &[&row::uuid(recovered.id)])
        .await?;
    let found = Found {
        session: recovered.session.clone(),
        links: Vec::new(),
    };
    let writes = Writes {
        found: vec![(row::get(&number, "seq")?, found, 0, false)],
        ..Writes::default()
    };
    writes.write(transaction, uuid::Uuid::nil()).await?;
    let end = (ExpectedState::Recovered, None);
    note(transaction, clock, polled, end, true, Some(recovered.id)).await?;
    Ok(PollEnded::Recovered(recovered.id))
}

async fn one(
    client: &impl GenericClient,
    clock: ServerClock,
    id: &SessionId,
) -> Result<Option<Expected>, Error> {
    let statement = client
        .prepare_cached(&format!("{SELECT} WHERE session_id = $1"))
        .await?;
    let found = client
        .query_opt(&statement, &[&row::text(id.as_str())])
        .await?;
    found.map(|found| read(&found, clock)).transpose()
}

async fn list(
    client: &Client,
    clock: ServerClock,
    filter: &ExpectedFilter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<ExpectedPage, Error> {
    let one_more = row::limit(limit.saturating_add(1));
    let statement = client
        .prepare_cached(&format!(
            "{SELECT} WHERE ($2::bigint IS NULL OR seq < $2) AND ($3::text IS NULL OR state = $3)
                AND ($4::text IS NULL OR provider = $4)
                AND ($5::bigint IS NULL OR (due IS NOT NULL AND due_since < $5))
             ORDER BY seq DESC LIMIT $1"
        ))
        .await?;
    let rows = client
        .query(
            &statement,
            &[
                &one_more,
                &cursor,
                &filter.state.map(ExpectedState::as_str),
                &filter.provider,
                &filter.overdue_at.map(|time| time.as_millisecond()),
            ],
        )
        .await?;
    Ok(ExpectedPage::of(all(&rows, clock)?, limit))
}

async fn stats(client: &Client, clock: ServerClock) -> Result<ExpectedStats, Error> {
    let sum = client
        .prepare_cached(
            "SELECT state, sum(n)::bigint AS n, count(*) AS changes FROM expected_counts GROUP BY state",
        )
        .await?;
    let (mut by_state, mut changes) = (Vec::new(), 0);
    for found in client.query(&sum, &[]).await? {
        let n = u64::try_from(row::get::<i64>(&found, "n")?).unwrap_or(0);
        by_state.push((row::word(&found, "state")?, n));
        changes += row::get::<i64>(&found, "changes")?;
    }
    if changes > MANY {
        let fold = client.prepare_cached(FOLD).await?;
        client.execute(&fold, &[&counts::LOCK]).await?;
    }
    let oldest = client
        .prepare_cached(
            "SELECT (SELECT due_since FROM expected WHERE due IS NOT NULL ORDER BY due_since LIMIT 1) AS overdue_since,
                (SELECT min(due) FROM (SELECT min(due) AS due FROM expected WHERE lane = 0 AND due IS NOT NULL
                 UNION ALL SELECT min(due) FROM expected WHERE lane = 1 AND due IS NOT NULL
                 UNION ALL SELECT min(due) FROM expected WHERE lane = 2 AND due IS NOT NULL) AS lanes) AS oldest_due,
                (SELECT least(registered_at, started_at, ended_at) FROM expected WHERE due IS NOT NULL
                 ORDER BY least(registered_at, started_at, ended_at) LIMIT 1) AS earliest,
                server_millis() AS now",
        )
        .await?;
    let found = client.query_one(&oldest, &[]).await?;
    let (now, due): (i64, Option<i64>) =
        (row::get(&found, "now")?, row::get(&found, "oldest_due")?);
    Ok(ExpectedStats {
        counts: by_state,
        overdue_since: row::optional_time(row::get(&found, "overdue_since")?)?,
        oldest_due: row::optional_time(due.map(|due| clock.own(due, now)))?,
        earliest: row::optional_time(row::get(&found, "earliest")?)?,
    })
}

fn all(rows: &[Row], clock: ServerClock) -> Result<Vec<Expected>, Error> {
    rows.iter().map(|found| read(found, clock)).collect()
}

/// A session from [`SELECT`].
fn read(row: &Row, clock: ServerClock) -> Result<Expected, Error> {
    let (now, due): (i64, Option<i64>) = (row::get(row, "now")?, row::get(row, "due")?);
    let time = |column| row::optional_time(row::get(row, column)?);
    Ok(Expected {
        number: row::get(row, "seq")?,
        registration: Registration {
            session_id: SessionId::new(row::get::<String>(row, "session_id")?)
                .ok_or(row::corrupt("session_id"))?,
            encounter_id: row::get::<Option<String>>(row, "encounter_id")?
                .and_then(EncounterId::new),
            kind: SessionKind::from_word(row::get(row, "kind")?),
            provider: row::get(row, "provider")?,
            origin: row::word::<Origin>(row, "origin")?,
            started_at: time("started_at")?,
            ended_at: time("ended_at")?,
            deadline: time("deadline")?,
            context: context(row)?,
        },
        registered_at: row::time(row::get(row, "registered_at")?)?,
        state: row::word(row, "state")?,
        next_poll_at: row::optional_time(due.map(|due| clock.own(due, now)))?,
        due_since: row::time(row::get(row, "due_since")?)?,
        polls: row::count(row, "polls")?,
        last_status: row::get(row, "last_status")?,
        last_result: row::get(row, "last_result")?,
        aborted_at: time("aborted_at")?,
        settled_at: time("settled_at")?,
        event: row::get::<Option<uuid::Uuid>>(row, "event")?.map(row::event_id),
    })
}
