//! Keeping events: the one write that senders wait for. As many as there are go in one statement.

use std::borrow::Cow;
use std::collections::HashSet;

use deadpool_postgres::Client;
use uuid::Uuid;

use super::row;
use crate::domain::{EventState, Outcome, SessionKind};
use crate::journal::record::NewContent;
use crate::journal::{Appended, Error, NewEvent};

/// Numbered in the order of the queue, but inserted in the order of their keys: two batches that share several keys then
/// wait for each other in the same order, and never in a circle.
const INSERT: &str = "INSERT INTO events
    (seq, id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status, outcome, kind, error_code,
     state, needs_sdp, started_at, next_attempt_at, last_error, body)
    SELECT seq, id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status, outcome, kind,
        error_code, state, needs_sdp, server_millis(), CASE WHEN is_due THEN server_millis() END, last_error, body
    FROM (SELECT nextval('events_seq') AS seq, queued.*
          FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
                      $8::boolean[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::boolean[],
                      $15::boolean[], $16::text[], $17::bytea[])
               AS queued (id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status, outcome,
                          kind, error_code, state, needs_sdp, is_due, last_error, body)) AS numbered
    ORDER BY dedupe
    ON CONFLICT (session_id, dedupe) DO NOTHING
    RETURNING id";
const FIND: &str = "SELECT wanted.n, events.id
    FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS wanted (session_id, dedupe, n)
    JOIN events ON events.session_id = wanted.session_id AND events.dedupe = wanted.dedupe";
/// An event that is a duplicate, but whose first one is gone: retention has just removed it. It is tried again so often.
const TRIES: usize = 3;

/// Keeps events, or finds those that they repeat. Gives as many results, in their order. Committed when it returns.
pub(super) async fn batch(client: &Client, events: &[NewEvent]) -> Result<Vec<Appended>, Error> {
    let mut found: Vec<Option<Appended>> = vec![None; events.len()];
    for _ in 0..TRIES {
        let left: Vec<usize> = (0..events.len())
            .filter(|&at| found[at].is_none())
            .collect();
        if left.is_empty() {
            break;
        }
        let rows: Vec<Columns<'_>> = left.iter().map(|&at| columns(&events[at])).collect();
        let new = insert(client, &rows).await?;
        let (kept, others): (Vec<usize>, Vec<usize>) =
            (0..rows.len()).partition(|&row| new.contains(&rows[row].id));
        for row in kept {
            found[left[row]] = Some(Appended::New(row::event_id(rows[row].id)));
        }
        for (other, id) in find(client, &rows, &others).await? {
            found[left[others[other]]] = Some(Appended::Duplicate(row::event_id(id)));
        }
    }
    found
        .into_iter()
        .collect::<Option<_>>()
        .ok_or(row::corrupt("dedupe key"))
}

/// An event as it is stored.
struct Columns<'a> {
    id: Uuid,
    session_id: Cow<'a, str>,
    dedupe: &'a [u8],
    encounter_id: Option<Cow<'a, str>>,
    received_at: i64,
    generated_at: Option<i64>,
    source: &'static str,
    stale: bool,
    status: Option<Cow<'a, str>>,
    outcome: &'static str,
    kind: &'static str,
    error_code: Option<Cow<'a, str>>,
    state: &'static str,
    needs_sdp: bool,
    is_due: bool,
    last_error: Option<Cow<'a, str>>,
    body: &'a [u8],
}

fn columns(event: &NewEvent) -> Columns<'_> {
    let common = Columns {
        id: row::uuid(event.id),
        session_id: Cow::Borrowed(""),
        dedupe: &[],
        encounter_id: None,
        received_at: event.received_at.as_millisecond(),
        generated_at: event.generated_at.map(|time| time.as_millisecond()),
        source: event.source.as_str(),
        stale: event.stale,
        status: None,
        outcome: Outcome::Unknown.as_str(),
        kind: SessionKind::Unknown.as_str(),
        error_code: None,
        state: EventState::Quarantined.as_str(),
        needs_sdp: false,
        is_due: false,
        last_error: None,
        body: &[],
    };
    match &event.content {
        NewContent::Notification(notification) => Columns {
            session_id: row::text(notification.session_id.as_str()),
            dedupe: notification.dedupe.as_bytes(),
            encounter_id: notification
                .encounter_id
                .as_ref()
                .map(|id| row::text(id.as_str())),
            status: notification.status.as_deref().map(row::text),
            outcome: notification.outcome.as_str(),
            kind: notification.kind.as_str(),
            error_code: notification.error_code.as_deref().map(row::text),
            state: EventState::Received.as_str(),
            needs_sdp: notification.needs_sdp(),
            is_due: true,
            body: &notification.body,
            ..common
        },
        NewContent::Junk {
            body,
            dedupe,
            reason,
        } => Columns {
            dedupe: dedupe.as_bytes(),
            last_error: Some(row::text(reason)),
            body,
            ..common
        },
    }
}

/// Inserts what is new, and tells the ids of that.
async fn insert(client: &Client, rows: &[Columns<'_>]) -> Result<HashSet<Uuid>, Error> {
    macro_rules! column {
        ($name:ident) => {
            rows.iter().map(|row| row.$name).collect::<Vec<_>>()
        };
        (&$name:ident) => {
            rows.iter()
                .map(|row| row.$name.as_deref())
                .collect::<Vec<_>>()
        };
    }
    let session_ids: Vec<&str> = rows.iter().map(|row| &*row.session_id).collect();
    let insert = client.prepare_cached(INSERT).await?;
    let new = client
        .query(
            &insert,
            &[
                &column!(id),
                &session_ids,
                &column!(dedupe),
                &column!(&encounter_id),
                &column!(received_at),
                &column!(generated_at),
                &column!(source),
                &column!(stale),
                &column!(&status),
                &column!(outcome),
                &column!(kind),
                &column!(&error_code),
                &column!(state),
                &column!(needs_sdp),
                &column!(is_due),
                &column!(&last_error),
                &column!(body),
            ],
        )
        .await?;
    new.iter().map(|found| row::get(found, "id")).collect()
}

/// The first ones of `which` rows, by their place in `which`.
async fn find(
    client: &Client,
    rows: &[Columns<'_>],
    which: &[usize],
) -> Result<Vec<(usize, Uuid)>, Error> {
    if which.is_empty() {
        return Ok(Vec::new());
    }
    let session_ids: Vec<&str> = which.iter().map(|&row| &*rows[row].session_id).collect();
    let keys: Vec<&[u8]> = which.iter().map(|&row| rows[row].dedupe).collect();
    let find = client.prepare_cached(FIND).await?;
    let found = client.query(&find, &[&session_ids, &keys]).await?;
    found
        .iter()
        .map(|found| {
            let place = usize::try_from(row::get::<i64>(found, "n")? - 1)
                .map_err(|_| row::corrupt("place"))?;
            Ok((place, row::get(found, "id")?))
        })
        .collect()
}
