//! Events' receipts and what was retrieved for them, in the form that the worker needs: many in one statement.

use std::collections::HashMap;

use bytes::Bytes;
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use super::{expectation, row};
use crate::domain::{EncounterId, Millis, Sequence, Session, SessionId, SessionKind};
use crate::journal::contents;
use crate::journal::lease::unreadable;
use crate::journal::{Error, Found, LinkRecord, Linked, Receipt};

/// The place of a receipt among those of its session, and among those of its encounter, that were worked on.
///
/// `+ 0` keeps the planner from using the index of this column: for each receipt it would read all older ones, which
/// without statistics seems cheap to it.
macro_rules! sequence {
    () => {
        "(SELECT count(*) FROM receipts AS of_it
            WHERE of_it.session_id = receipts.session_id AND of_it.seq + 0 <= receipts.seq) AS of_session,
        CASE WHEN receipts.encounter_id IS NOT NULL THEN greatest(1, (SELECT count(*) FROM retrievals AS of_it
            WHERE of_it.encounter_id = receipts.encounter_id AND of_it.event + 0 <= receipts.seq)) END AS of_encounter"
    };
}

const EVENTS: &str = concat!(
    "SELECT receipts.seq, id, received_at, source, stale, receipts.session_id, receipts.encounter_id, status, error_code,
        body, coalesce(found.outcome, receipts.outcome) AS outcome, coalesce(found.kind, receipts.kind) AS kind,
        session_status, retrieved_at, links, bodies, found.event IS NOT NULL AS is_found,
        coalesce(revision, 1) AS revision, replaces, registered_at, ended_at, provider, context,
        ",
    sequence!(),
    "
    FROM receipts LEFT JOIN retrievals AS found ON found.event = receipts.seq
        LEFT JOIN amendments ON amendments.event = receipts.seq
        LEFT JOIN expected ON expected.session_id = receipts.session_id
    WHERE receipts.seq = ANY ($1) AND body IS NOT NULL"
);
const SEQUENCES: &str = concat!(
    "SELECT seq, ",
    sequence!(),
    " FROM receipts WHERE seq = ANY ($1)"
);
const LINKS: &str =
    "SELECT links, CASE WHEN $2 THEN bodies END AS bodies FROM retrievals WHERE event = $1";
/// The links of events that earlier versions stored.
const OLD_LINKS: &str = "SELECT n, link_group, href, state, http_status, bytes, fetched_at, reason,
        CASE WHEN $2 THEN body END AS body
    FROM links WHERE event = $1 ORDER BY n";

/// An event with its content.
pub(super) struct Content {
    pub(super) receipt: Receipt,
    pub(super) found: Found,
    /// When retrieval was complete, by the server's clock.
    pub(super) retrieved_at: Option<Millis>,
}

/// Reads those of these events whose content is not purged. Reports those that cannot be read, and returns `None` for
/// them.
pub(super) async fn events(
    client: &impl GenericClient,
    seqs: &[i64],
) -> Result<HashMap<i64, Option<Content>>, Error> {
    let statement = client.prepare_cached(EVENTS).await?;
    let mut events = HashMap::with_capacity(seqs.len());
    for kept in client.query(&statement, &[&seqs]).await? {
        let content = match content(client, &kept).await {
            Ok(content) => Some(content),
            Err(error) if error.is_of_the_row() => {
                unreadable(row::id(&kept, "id").ok(), &error);
                None
            }
            Err(error) => return Err(error),
        };
        events.insert(row::get(&kept, "seq")?, content);
    }
    Ok(events)
}

async fn content(client: &impl GenericClient, kept: &Row) -> Result<Content, Error> {
    let links = match row::get::<Option<&str>>(kept, "links")? {
        Some(links) => contents::linked(links, bodies(kept, "bodies")?)?,
        None if row::get(kept, "is_found")? => {
            old_links(client, row::get(kept, "seq")?, true).await?
        }
        None => Vec::new(),
    };
    Ok(Content {
        receipt: Receipt {
            id: row::id(kept, "id")?,
            received_at: row::time(row::get(kept, "received_at")?)?,
            source: row::word(kept, "source")?,
            stale: row::get(kept, "stale")?,
            session_id: SessionId::new(row::get::<String>(kept, "session_id")?)
                .ok_or(row::corrupt("session_id"))?,
            encounter_id: row::get::<Option<String>>(kept, "encounter_id")?
                .and_then(EncounterId::new),
            status: row::get(kept, "status")?,
            error_code: row::get(kept, "error_code")?,
            body: row::bytes(kept, "body")?,
            revision: row::number(kept, "revision")?,
            replaces: row::get::<Option<uuid::Uuid>>(kept, "replaces")?.map(row::event_id),
            expected: expectation::expectation(kept)?,
            sequence: Some(sequence(kept)?),
        },
        found: Found {
            session: Session {
                outcome: row::word(kept, "outcome")?,
                kind: SessionKind::from_word(row::get(kept, "kind")?),
                status: row::get(kept, "session_status")?,
            },
            links,
        },
        retrieved_at: row::get(kept, "retrieved_at")?,
    })
}

/// The places of these events among those of their session and of their encounter.
pub(super) async fn sequences(
    client: &impl GenericClient,
    seqs: &[i64],
) -> Result<HashMap<i64, Sequence>, Error> {
    let statement = client.prepare_cached(SEQUENCES).await?;
    let rows = client.query(&statement, &[&seqs]).await?;
    rows.iter()
        .map(|found| Ok((row::get(found, "seq")?, sequence(found)?)))
        .collect()
}

fn sequence(row: &Row) -> Result<Sequence, Error> {
    let number = |n: i64| u64::try_from(n).unwrap_or(1);
    Ok(Sequence {
        session: number(row::get(row, "of_session")?),
        encounter: row::get::<Option<i64>>(row, "of_encounter")?.map(number),
    })
}

/// An event's links, with or without their answers.
pub(super) async fn linked(
    client: &impl GenericClient,
    seq: i64,
    with_bodies: bool,
) -> Result<Vec<Linked>, Error> {
    let statement = client.prepare_cached(LINKS).await?;
    let Some(found) = client.query_opt(&statement, &[&seq, &with_bodies]).await? else {
        return Ok(Vec::new());
    };
    match row::get::<Option<&str>>(&found, "links")? {
        Some(links) => contents::linked(links, bodies(&found, "bodies")?),
        None => old_links(client, seq, with_bodies).await,
    }
}

/// An event's links.
pub(super) async fn links(client: &impl GenericClient, seq: i64) -> Result<Vec<LinkRecord>, Error> {
    let linked = linked(client, seq, false).await?;
    Ok(linked.into_iter().map(|linked| linked.link).collect())
}

async fn old_links(
    client: &impl GenericClient,
    seq: i64,
    with_bodies: bool,
) -> Result<Vec<Linked>, Error> {
    let statement = client.prepare_cached(OLD_LINKS).await?;
    let rows = client.query(&statement, &[&seq, &with_bodies]).await?;
    let linked = rows.iter().map(|found| {
        Ok(Linked {
            link: row::link(found)?,
            body: bodies(found, "body")?,
        })
    });
    linked.collect()
}

fn bodies(row: &Row, column: &'static str) -> Result<Option<Bytes>, Error> {
    Ok(row::get::<Option<Vec<u8>>>(row, column)?.map(Bytes::from))
}
