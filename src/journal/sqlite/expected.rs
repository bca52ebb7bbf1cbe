//! Expected sessions: registered, asked for, and ended by their notification, by what was found, or by a named reason.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use uuid::Uuid;

use super::counts::Tx;
use super::expectation::{MEET, context};
use super::{SqliteStore, append, finish, row};
use crate::domain::{
    EncounterId, EventId, Expected, ExpectedState, Lane, Millis, Origin, Poll, Registration,
    SessionId, SessionKind, Source,
};
use crate::journal::expected::in_order;
use crate::journal::lease::new_fence;
use crate::journal::record::NewContent;
use crate::journal::{
    Appended, Change, Error, Expectations, ExpectedFilter, ExpectedPage, ExpectedStats, Follows,
    Found, NewEvent, NewExpected, PollAnswer, PollEnded, Polled, Recovered, Registered,
};

const SELECT: &str = "SELECT seq, session_id, encounter_id, kind, provider, origin, started_at, ended_at, deadline,
    registered_at, context, state, due, due_since, polls, last_status, last_result, aborted_at, settled_at, event
    FROM expected";
const INSERT: &str =
    "INSERT INTO expected (session_id, encounter_id, kind, provider, origin, started_at, ended_at,
        deadline, registered_at, context, state, due, lane, due_since)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'open', ?11, ?12, ?11)
    ON CONFLICT (session_id) DO NOTHING";
/// What was not known is added. One that the partner names itself is no sibling any more.
const MERGE: &str = "UPDATE expected SET encounter_id = coalesce(encounter_id, ?2),
    kind = CASE kind WHEN 'unknown' THEN ?3 ELSE kind END, provider = coalesce(provider, ?4),
    origin = CASE origin WHEN 'sibling' THEN ?5 ELSE origin END, started_at = coalesce(started_at, ?6),
    ended_at = coalesce(ended_at, ?7), deadline = coalesce(deadline, ?8), context = coalesce(context, ?9)
    WHERE session_id = ?1";
const EVENT_OF: &str = "SELECT id FROM mentions JOIN receipts ON receipts.seq = event
    WHERE name = ?1 AND session_id = ?1 ORDER BY event LIMIT 1";
const UNSEEN: &str = "SELECT id FROM work JOIN receipts ON receipts.seq = work.event
    WHERE task IN ('forward', 'new', 'retrieve')
        AND receipts.session_id = (SELECT session_id FROM expected WHERE seq = ?1) LIMIT 1";
const RESCHEDULE: &str = "UPDATE expected SET due = ?2, lane = ?3, due_since = min(due_since, ?2)
    WHERE seq = ?1 AND due IS NOT NULL AND due > ?2";
#[async_trait]
impl Expectations for SqliteStore {
    async fn expect(&self, sessions: Vec<NewExpected>) -> Result<Vec<Registered>, Error> {
        let now = self.clock.now().as_millisecond();
        self.writer()?
            .write(move |tx| sessions.iter().map(|new| expect(tx, new, now)).collect())
            .await
    }

    async fn change_expected(
        &self,
        id: SessionId,
        change: Change,
        poll: Option<Poll>,
    ) -> Result<Option<Expected>, Error> {
        self.writer()?
            .write(move |tx| change_one(tx, &id, &change, poll))
            .await
    }

    async fn poll_now(&self, id: SessionId, now: Millis) -> Result<Option<Expected>, Error> {
        self.writer()?
            .write(move |tx| {
                tx.prepare_cached(
                    "UPDATE expected SET due = ?2, lane = ?3, due_since = min(due_since, ?2), settled_at = NULL,
                        state = CASE WHEN due IS NULL THEN 'polling' ELSE state END
                     WHERE session_id = ?1 AND event IS NULL",
                )?
                .execute(params![id.as_str(), now, Lane::Ended.number()])?;
                one(tx, &id)
            })
            .await
    }

    async fn withdraw(&self, id: SessionId) -> Result<Option<Expected>, Error> {
        let now = self.clock.now().as_millisecond();
        self.writer()?
            .write(move |tx| {
                tx.prepare_cached(
                    "UPDATE expected SET state = 'withdrawn', due = NULL, settled_at = ?2, context = NULL
                     WHERE session_id = ?1 AND due IS NOT NULL",
                )?
                .execute(params![id.as_str(), now])?;
                one(tx, &id)
            })
            .await
    }

    async fn expected(&self, id: SessionId) -> Result<Option<Expected>, Error> {
        self.looks
            .read(move |connection| one(connection, &id))
            .await
    }

    async fn list_expected(
        &self,
        filter: ExpectedFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<ExpectedPage, Error> {
        self.looks
            .read(move |connection| list(connection, &filter, limit, cursor))
            .await
    }

    async fn due_sessions(
        &self,
        now: Millis,
        limit: usize,
    ) -> Result<Option<Vec<Expected>>, Error> {
        if !self.works.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok(None);
        }
        self.readers
            .read(move |connection| due(connection, now, limit).map(Some))
            .await
    }

    async fn polled(&self, answers: Vec<Polled>) -> Result<Vec<PollEnded>, Error> {
        let now = self.clock.monotonic();
        // Beside the writer, since there may be many that nobody has looked at; what comes from now on meets its session.
        let ended = answers.iter().filter(|polled| polled.has_ended());
        let ended: Vec<i64> = ended.map(|polled| polled.number).collect();
        let unseen = if ended.is_empty() {
            HashMap::new()
        } else {
            self.readers
                .read(move |connection| unseen(connection, &ended))
                .await?
        };
        self.writer()?
            .write(move |tx| {
                let unseen = |polled: &Polled| unseen.get(&polled.number).copied();
                let ended = answers.iter();
                ended
                    .map(|polled| end(tx, polled, unseen(polled), now))
                    .collect()
            })
            .await
    }

    async fn expected_stats(&self) -> Result<ExpectedStats, Error> {
        self.looks.read(stats).await
    }
}

fn expect(tx: &Tx<'_>, new: &NewExpected, now: Millis) -> Result<Registered, Error> {
    let said = &new.registration;
    let (encounter, context) = (
        said.encounter_id.as_ref().map(EncounterId::as_str),
        said.context.as_ref().map(|context| &context.0[..]),
    );
    let millis = |time: Option<jiff::Timestamp>| time.map(|time| time.as_millisecond());
    let inserted = tx.prepare_cached(INSERT)?.execute(params![
        said.session_id.as_str(),
        encounter,
        said.kind.as_str(),
        said.provider,
        said.origin.as_str(),
        millis(said.started_at),
        millis(said.ended_at),
        millis(said.deadline),
        new.registered_at.as_millisecond(),
        context,
        new.first_poll.due,
        new.first_poll.lane.number(),
    ])?;
    let is_new = inserted == 1;
    if is_new {
        let (seq, event) = (tx.last_insert_rowid(), event_of(tx, &said.session_id)?);
        if let Some(event) = event {
            tx.prepare_cached(MEET)?
                .execute(params![seq, now, event.as_bytes()])?;
        }
    } else {
        tx.prepare_cached(MERGE)?.execute(params![
            said.session_id.as_str(),
            encounter,
            said.kind.as_str(),
            said.provider,
            said.origin.as_str(),
            millis(said.started_at),
            millis(said.ended_at),
            millis(said.deadline),
            context,
        ])?;
    }
    let mut expected = one(tx, &said.session_id)?.ok_or(Error::Corrupt { what: "session" })?;
    // What is known since may make it due sooner.
    if !is_new
        && tx.prepare_cached(RESCHEDULE)?.execute(params![
            expected.number,
            new.first_poll.due,
            new.first_poll.lane.number()
        ])? == 1
    {
        expected = one(tx, &said.session_id)?.ok_or(Error::Corrupt { what: "session" })?;
    }
    Ok(Registered { is_new, expected })
}

/// The first event of a session that was worked on. One that nobody has looked at yet meets its expectation when somebody
/// does.
fn event_of(connection: &Connection, session: &SessionId) -> Result<Option<EventId>, Error> {
    let id = connection
        .prepare_cached(EVENT_OF)?
        .query_row([session.as_str()], |found| found.get(0))
        .optional()?;
    Ok(id.map(row::id))
}

fn change_one(
    tx: &Tx<'_>,
    id: &SessionId,
    change: &Change,
    poll: Option<Poll>,
) -> Result<Option<Expected>, Error> {
    tx.prepare_cached(
        "UPDATE expected SET ended_at = coalesce(?2, ended_at), provider = coalesce(?3, provider),
            deadline = coalesce(?4, deadline) WHERE session_id = ?1",
    )?
    .execute(params![
        id.as_str(),
        change.ended_at.map(|time| time.as_millisecond()),
        change.provider,
        change.deadline.map(|time| time.as_millisecond()),
    ])?;
    if let Some(poll) = poll {
        tx.prepare_cached(
            "UPDATE expected SET due = ?2, lane = ?3, due_since = ?2 WHERE session_id = ?1 AND due IS NOT NULL",
        )?
        .execute(params![id.as_str(), poll.due, poll.lane.number()])?;
    }
    one(tx, id)
}

/// The events of these sessions that nobody has looked at yet, by the session's number: their receipts alone name it.
fn unseen(connection: &Connection, numbers: &[i64]) -> Result<HashMap<i64, EventId>, Error> {
    let mut unseen = HashMap::new();
    for number in numbers {
        let id = connection
            .prepare_cached(UNSEEN)?
            .query_row([number], |found| found.get(0))
            .optional()?;
        if let Some(id) = id {
            unseen.insert(*number, row::id(id));
        }
    }
    Ok(unseen)
}

/// Writes down what came of a question. An event of the session may be there that nobody has looked at.
fn end(
    tx: &Tx<'_>,
    polled: &Polled,
    unseen: Option<EventId>,
    now: Millis,
) -> Result<PollEnded, Error> {
    let found = tx
        .prepare_cached(
            "SELECT session_id, polls, due IS NOT NULL, state FROM expected WHERE seq = ?1",
        )?
        .query_row([polled.number], |found| {
            Ok((
                found.get::<_, String>(0)?,
                found.get::<_, u32>(1)?,
                found.get::<_, bool>(2)?,
                found.get::<_, String>(3)?,
            ))
        })
        .optional()?;
    let session = match found {
        Some((session, polls, true, _)) if polls == polled.polls => session,
        Some((.., state)) if state == ExpectedState::Met.as_str() => return Ok(PollEnded::Met),
        Some(_) | None => return Ok(PollEnded::Lost),
    };
    match &polled.answer.follows {
        Follows::Again {
            poll,
            state,
            counts,
        } => {
            note(tx, polled, *state, Some(*poll), *counts)?;
            Ok(PollEnded::Kept)
        }
        Follows::Over(state) => {
            note(tx, polled, *state, None, true)?;
            Ok(PollEnded::Kept)
        }
        Follows::Recovered(recovered) => {
            let session = SessionId::new(session).ok_or(Error::Corrupt { what: "session id" })?;
            recover(tx, polled, (&session, unseen), recovered, now)
        }
    }
}

/// Writes an answer down, and where the session stands.
fn note(
    tx: &Tx<'_>,
    polled: &Polled,
    state: ExpectedState,
    poll: Option<Poll>,
    counts: bool,
) -> Result<(), Error> {
    let PollAnswer {
        status,
        result,
        kind,
        aborted_at,
        ..
    } = &polled.answer;
    tx.prepare_cached(
        "UPDATE expected SET state = ?2, due = ?3, lane = coalesce(?4, lane), polls = polls + ?5,
            last_status = coalesce(?6, last_status), last_result = ?7, kind = CASE ?8 WHEN 'unknown' THEN kind ELSE ?8 END,
            aborted_at = ?9, settled_at = CASE WHEN ?3 IS NULL THEN ?10 END WHERE seq = ?1",
    )?
    .execute(params![
        polled.number,
        state.as_str(),
        poll.map(|poll| poll.due),
        poll.map(|poll| poll.lane.number()),
        counts,
        status,
        result,
        kind.as_str(),
        aborted_at.map(|time| time.as_millisecond()),
        polled.at.as_millisecond(),
    ])?;
    Ok(())
}

/// Makes the event of a session that has ended, unless there is one.
fn recover(
    tx: &Tx<'_>,
    polled: &Polled,
    (session, unseen): (&SessionId, Option<EventId>),
    recovered: &Recovered,
    now: Millis,
) -> Result<PollEnded, Error> {
    let met = |event: EventId| {
        note(tx, polled, ExpectedState::Met, None, true)?;
        tx.prepare_cached("UPDATE expected SET event = ?2 WHERE seq = ?1")?
            .execute(params![polled.number, event.as_bytes()])?;
        Ok(PollEnded::Met)
    };
    if let Some(event) = event_of(tx, session)?.or(unseen) {
        return met(event);
    }
    let event = NewEvent {
        id: recovered.id,
        received_at: polled.at,
        generated_at: None,
        source: Source::Reconcile,
        stale: false,
        content: NewContent::Notification(std::sync::Arc::new(recovered.notification.clone())),
    };
    match append::append(tx, &event, None::<Uuid>, new_fence(), now)?.appended {
        Appended::Duplicate(event) => met(event),
        Appended::New(id) => {
            let seq = tx.last_insert_rowid();
            let found = Found {
                session: recovered.session.clone(),
                links: Vec::new(),
            };
            finish::write_found(tx, seq, &found, 0, None)?;
            note(tx, polled, ExpectedState::Recovered, None, true)?;
            tx.prepare_cached("UPDATE expected SET event = ?2 WHERE seq = ?1")?
                .execute(params![polled.number, id.as_bytes()])?;
            Ok(PollEnded::Recovered(id))
        }
    }
}

fn due(connection: &Connection, now: Millis, limit: usize) -> Result<Vec<Expected>, Error> {
    let lane = |lane: Lane, order: &str, limit: usize| {
        let sql = format!(
            "{SELECT} INDEXED BY expected_due WHERE lane = ?1 AND due <= ?2 ORDER BY due {order} LIMIT ?3"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query(params![lane.number(), now, limit])?;
        all(rows)
    };
    Ok(in_order([
        lane(Lane::Closing, "ASC", limit)?,
        lane(Lane::Ended, "DESC", limit)?,
        lane(Lane::Ended, "ASC", limit.div_ceil(4))?,
        lane(Lane::Other, "ASC", limit)?,
    ]))
}

fn one(connection: &Connection, id: &SessionId) -> Result<Option<Expected>, Error> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE session_id = ?1"))?;
    let mut found = all(statement.query([id.as_str()])?)?;
    Ok(found.pop())
}

fn list(
    connection: &Connection,
    filter: &ExpectedFilter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<ExpectedPage, Error> {
    let (mut wanted, mut values) = (vec!["1".to_owned()], Vec::new());
    let mut want = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            wanted.push(condition.replace("{}", &format!("?{}", values.len())));
        }
    };
    let text = |text: &str| Value::Text(text.to_owned());
    want("seq < {}", cursor.map(Value::Integer));
    want("state = {}", filter.state.map(|state| text(state.as_str())));
    want("provider = {}", filter.provider.as_deref().map(text));
    let overdue = filter
        .overdue_at
        .map(|time| Value::Integer(time.as_millisecond()));
    want("due IS NOT NULL AND due_since < {}", overdue);
    let sql = format!(
        "{SELECT} WHERE {} ORDER BY seq DESC LIMIT {}",
        wanted.join(" AND "),
        limit.saturating_add(1)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let sessions = all(statement.query(params_from_iter(values))?)?;
    Ok(ExpectedPage::of(sessions, limit))
}

fn stats(connection: &Connection) -> Result<ExpectedStats, Error> {
    let mut statement = connection.prepare_cached("SELECT state, n FROM expected_counts")?;
    let mut rows = statement.query([])?;
    let mut counts = Vec::new();
    while let Some(found) = rows.next()? {
        counts.push((row::word(found, 0, "state")?, found.get(1)?));
    }
    let oldest = |sql: &str| {
        let oldest: Option<Millis> = connection
            .prepare_cached(sql)?
            .query_row([], |found| found.get(0))
            .optional()?;
        row::optional_time(oldest)
    };
    Ok(ExpectedStats {
        counts,
        overdue_since: oldest(
            "SELECT due_since FROM expected INDEXED BY expected_overdue WHERE due IS NOT NULL ORDER BY due_since LIMIT 1",
        )?,
        oldest_due: oldest(
            "SELECT min(due) FROM (SELECT min(due) AS due FROM expected WHERE lane = 0 AND due IS NOT NULL
             UNION ALL SELECT min(due) FROM expected WHERE lane = 1 AND due IS NOT NULL
             UNION ALL SELECT min(due) FROM expected WHERE lane = 2 AND due IS NOT NULL) HAVING min(due) IS NOT NULL",
        )?,
        earliest: oldest(
            "SELECT min(registered_at, coalesce(started_at, registered_at), coalesce(ended_at, registered_at)) AS earliest
             FROM expected INDEXED BY expected_earliest WHERE due IS NOT NULL ORDER BY earliest LIMIT 1",
        )?,
    })
}

fn all(mut rows: rusqlite::Rows<'_>) -> Result<Vec<Expected>, Error> {
    let mut sessions = Vec::new();
    while let Some(found) = rows.next()? {
        sessions.push(read(found)?);
    }
    Ok(sessions)
}

/// A session from [`SELECT`].
fn read(row: &Row<'_>) -> Result<Expected, Error> {
    let corrupt = Error::Corrupt { what: "session id" };
    Ok(Expected {
        number: row.get(0)?,
        registration: Registration {
            session_id: SessionId::new(row.get::<_, String>(1)?).ok_or(corrupt)?,
            encounter_id: row.get::<_, Option<String>>(2)?.and_then(EncounterId::new),
            kind: SessionKind::from_word(&row.get::<_, String>(3)?),
            provider: row.get(4)?,
            origin: row::word::<Origin>(row, 5, "origin")?,
            started_at: row::optional_time(row.get(6)?)?,
            ended_at: row::optional_time(row.get(7)?)?,
            deadline: row::optional_time(row.get(8)?)?,
            context: context(row, 10)?,
        },
        registered_at: row::time(row.get(9)?)?,
        state: row::word(row, 11, "state")?,
        next_poll_at: row::optional_time(row.get(12)?)?,
        due_since: row::time(row.get(13)?)?,
        polls: row.get(14)?,
        last_status: row.get(15)?,
        last_result: row.get(16)?,
        aborted_at: row::optional_time(row.get(17)?)?,
        settled_at: row::optional_time(row.get(18)?)?,
        event: row.get::<_, Option<[u8; 16]>>(19)?.map(row::id),
    })
}
