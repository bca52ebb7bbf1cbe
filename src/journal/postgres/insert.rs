//! Stores events: the only write that senders wait for. A whole batch goes into one statement.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::expectation::{self, meet};
use super::{repeat, row};
use crate::domain::{EventId, Expectation, Outcome, SessionKind};
use crate::journal::lease::{first_task, new_fence};
use crate::journal::record::NewContent;
use crate::journal::{Appended, Error, Kept, Lease, NewEvent};

/// Numbers the rows in the order of the queue, but inserts them in the order of their keys: two batches that share
/// several keys then wait for each other in the same order, and cannot deadlock.
const INSERT: &str = concat!(
    "WITH new AS (
        INSERT INTO receipts
            (seq, id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status, outcome, kind,
             error_code, needs_sdp, junk, body)
        SELECT seq, id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status, outcome, kind,
            error_code, needs_sdp, junk, body
        FROM (SELECT nextval('events_seq') AS seq, queued.*
              FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
                          $8::boolean[], $9::text[], $10::text[], $11::text[], $12::text[], $13::boolean[], $14::text[],
                          $15::bytea[])
                   AS queued (id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status,
                              outcome, kind, error_code, needs_sdp, junk, body)) AS numbered
        ORDER BY dedupe
        ON CONFLICT (session_id, dedupe) DO NOTHING
        RETURNING seq, id, session_id, source, needs_sdp, junk),
    planned AS (
        INSERT INTO work (event, task, due, owner, fence, started_at)
        SELECT seq, CASE WHEN needs_sdp THEN 'new' ELSE 'forward' END, server_millis(),
            CASE WHEN is_held THEN $17::uuid END, $18, server_millis()
        FROM new JOIN unnest($1::uuid[], $16::boolean[]) AS asked (asked_id, is_held) ON asked_id = id
        WHERE junk IS NULL),
    quarantined AS (
        INSERT INTO endings (event, state, ended_at, cause_code, has_content)
        SELECT seq, 'quarantined', server_millis(), cause_code, true
        FROM new JOIN unnest($1::uuid[], $19::text[]) AS why (why_id, cause_code) ON why_id = id
        WHERE junk IS NOT NULL),
    counted AS (
        INSERT INTO counts (state, n)
        SELECT CASE WHEN junk IS NULL THEN 'received' ELSE 'quarantined' END, count(*) FROM new GROUP BY 1),
    ",
    meet!(),
    "
    SELECT new.id, new.seq, registered_at, ended_at, provider, context,
        CASE WHEN met.state = 'late' THEN met.event END AS amends
    FROM new LEFT JOIN expected ON expected.session_id = new.session_id LEFT JOIN met ON met.seq = new.seq"
);
const FIND: &str = "SELECT wanted.n, receipts.id
    FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS wanted (session_id, dedupe, n)
    JOIN receipts ON receipts.session_id = wanted.session_id AND receipts.dedupe = wanted.dedupe";
/// How often an event is tried again when it was a duplicate of an event that retention has just removed.
const TRIES: usize = 3;

/// Stores events, or finds the ones that they duplicate. The flag of each event says whether its work is to be leased
/// to `owner`. Returns the results in the same order; they are committed then.
pub(super) async fn batch(
    client: &impl GenericClient,
    owner: Uuid,
    events: &[(Arc<NewEvent>, bool)],
) -> Result<Vec<Kept>, Error> {
    let mut found: Vec<Option<Kept>> = vec![None; events.len()];
    for _ in 0..TRIES {
        let left: Vec<usize> = (0..events.len())
            .filter(|&at| found[at].is_none())
            .collect();
        if left.is_empty() {
            break;
        }
        let rows: Vec<Columns<'_>> = left
            .iter()
            .map(|&at| columns(&events[at].0, events[at].1))
            .collect();
        let fence = new_fence();
        let new = insert(client, &rows, owner, fence).await?;
        let (kept, others): (Vec<usize>, Vec<usize>) =
            (0..rows.len()).partition(|&row| new.contains_key(&rows[row].id));
        for row in kept {
            let columns = &rows[row];
            let is_held = columns.is_held && columns.junk.is_none();
            let new = &new[&columns.id];
            found[left[row]] = Some(Kept {
                appended: Appended::New(row::event_id(columns.id)),
                lease: is_held.then(|| Lease {
                    event: new.seq,
                    task: first_task(columns.needs_sdp),
                    fence,
                }),
                expected: new.expected.clone(),
                amends: new.amends,
            });
        }
        let (mut repeated, mut sent_at) = (Vec::new(), Vec::new());
        for (other, id) in find(client, &rows, &others).await? {
            let columns = &rows[others[other]];
            if let (Some(at), None) = (columns.generated_at, &columns.junk) {
                repeated.push(id);
                sent_at.push(at);
            }
            found[left[others[other]]] =
                Some(Kept::new(Appended::Duplicate(row::event_id(id)), None));
        }
        if !repeated.is_empty() {
            repeat::note(client, &repeated, &sent_at).await?;
        }
    }
    found
        .into_iter()
        .collect::<Option<_>>()
        .ok_or(row::corrupt("dedupe key"))
}

/// The columns of an event.
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
    needs_sdp: bool,
    is_held: bool,
    junk: Option<Cow<'a, str>>,
    cause: Option<&'static str>,
    body: &'a [u8],
}

fn columns(event: &NewEvent, is_held: bool) -> Columns<'_> {
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
        needs_sdp: false,
        is_held,
        junk: None,
        cause: None,
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
            status: notification.status().map(row::text),
            outcome: notification.outcome().as_str(),
            kind: notification.kind().as_str(),
            error_code: notification.error_code().map(row::text),
            needs_sdp: notification.needs_sdp(),
            body: &notification.body,
            ..common
        },
        NewContent::Malformed {
            body,
            dedupe,
            malformed,
        } => Columns {
            dedupe: dedupe.as_bytes(),
            junk: Some(Cow::Owned(malformed.to_string())),
            cause: Some(malformed.cause().as_str()),
            body,
            ..common
        },
    }
}

/// An inserted row.
struct Inserted {
    seq: i64,
    expected: Option<Expectation>,
    amends: Option<EventId>,
}

/// Inserts the new events, and returns them by id.
async fn insert(
    client: &impl GenericClient,
    rows: &[Columns<'_>],
    owner: Uuid,
    fence: i64,
) -> Result<HashMap<Uuid, Inserted>, Error> {
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
                &column!(needs_sdp),
                &column!(&junk),
                &column!(body),
                &column!(is_held),
                &owner,
                &fence,
                &column!(cause),
            ],
        )
        .await?;
    new.iter()
        .map(|found| {
            let inserted = Inserted {
                seq: row::get(found, "seq")?,
                expected: expectation::expectation(found)?,
                amends: row::get::<Option<Uuid>>(found, "amends")?.map(row::event_id),
            };
            Ok((row::get(found, "id")?, inserted))
        })
        .collect()
}

/// The ids of the stored events that the rows `which` duplicate, each with its index in `which`.
async fn find(
    client: &impl GenericClient,
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
