//! An event's receipt and what was retrieved for it, in the form that the worker needs.

use rusqlite::{Connection, OptionalExtension};

use super::{expectation, row};
use crate::domain::{Document, EncounterId, Millis, Sequence, Session, SessionId, SessionKind};
use crate::journal::contents;
use crate::journal::{Error, Found, LinkRecord, Linked, Receipt};

const RECEIPT: &str = "SELECT id, received_at, source, stale, session_id, encounter_id, status, error_code, body, outcome,
    kind, (SELECT revision FROM amendments WHERE event = seq), (SELECT replaces FROM amendments WHERE event = seq)
    FROM receipts WHERE seq = ?1 AND body IS NOT NULL";
const FOUND: &str = "SELECT outcome, kind, session_status, links, CASE WHEN ?2 THEN bodies END FROM retrievals WHERE event = ?1";
const SEQUENCE: &str =
    "SELECT max(1, (SELECT count(*) FROM mentions WHERE name = session_id AND event <= ?1)),
    CASE WHEN encounter_id IS NOT NULL
        THEN max(1, (SELECT count(*) FROM mentions WHERE name = encounter_id AND event <= ?1)) END
    FROM receipts WHERE seq = ?1";
/// The links of events that earlier versions stored.
const OLD_LINKS: &str = "SELECT n, link_group, href, state, http_status, bytes, fetched_at, reason, CASE WHEN ?2 THEN body END
    FROM links WHERE event = ?1 ORDER BY n";

/// A receipt with its content and what was retrieved. `None` when the content is purged.
pub(super) fn event(connection: &Connection, seq: i64) -> Result<Option<(Receipt, Found)>, Error> {
    let mut statement = connection.prepare_cached(RECEIPT)?;
    let mut rows = statement.query([seq])?;
    let Some(kept) = rows.next()? else {
        return Ok(None);
    };
    let receipt = Receipt {
        id: row::id(kept.get(0)?),
        received_at: row::time(kept.get(1)?)?,
        source: row::word(kept, 2, "source")?,
        stale: kept.get(3)?,
        session_id: SessionId::new(kept.get::<_, String>(4)?)
            .ok_or(Error::Corrupt { what: "session id" })?,
        encounter_id: kept.get::<_, Option<String>>(5)?.and_then(EncounterId::new),
        status: kept.get(6)?,
        error_code: kept.get(7)?,
        body: row::bytes(kept.get(8)?),
        revision: kept.get::<_, Option<u32>>(11)?.unwrap_or(1),
        replaces: kept.get::<_, Option<[u8; 16]>>(12)?.map(row::id),
        expected: expectation::expectation_of(connection, &kept.get::<_, String>(4)?)?,
        sequence: Some(sequence(connection, seq)?),
    };
    let found = match found(connection, seq, true)? {
        Some(found) => found,
        None => Found {
            session: Session {
                outcome: row::word(kept, 9, "outcome")?,
                kind: SessionKind::from_word(&kept.get::<_, String>(10)?),
                status: None,
            },
            links: Vec::new(),
        },
    };
    Ok(Some((receipt, found)))
}

/// The document to deliver. `None` when the content is purged.
pub(super) fn document(connection: &Connection, seq: i64) -> Result<Option<Document>, Error> {
    let event = event(connection, seq)?;
    Ok(event.map(|(receipt, found)| receipt.document(&found)))
}

/// An event's place among those of its session and of its encounter. Events that nobody has worked on yet are not
/// counted.
pub(super) fn sequence(connection: &Connection, seq: i64) -> Result<Sequence, Error> {
    Ok(connection
        .prepare_cached(SEQUENCE)?
        .query_row([seq], |row| {
            Ok(Sequence {
                session: row.get(0)?,
                encounter: row.get(1)?,
            })
        })?)
}

/// What was retrieved, with or without the answers' bodies. `None` when retrieval has not begun.
pub(super) fn found(
    connection: &Connection,
    seq: i64,
    with_bodies: bool,
) -> Result<Option<Found>, Error> {
    let mut statement = connection.prepare_cached(FOUND)?;
    let mut rows = statement.query((seq, with_bodies))?;
    let Some(stored) = rows.next()? else {
        return Ok(None);
    };
    let links = match stored.get_ref(3)?.as_str_or_null() {
        Ok(Some(links)) => {
            contents::linked(links, stored.get::<_, Option<Vec<u8>>>(4)?.map(row::bytes))?
        }
        Ok(None) => old_links(connection, seq, with_bodies)?,
        Err(_) => return Err(Error::Corrupt { what: "link" }),
    };
    Ok(Some(Found {
        session: Session {
            outcome: row::word(stored, 0, "outcome")?,
            kind: SessionKind::from_word(&stored.get::<_, String>(1)?),
            status: stored.get(2)?,
        },
        links,
    }))
}

/// An event's links, without the answers' bodies.
pub(super) fn links(connection: &Connection, seq: i64) -> Result<Vec<LinkRecord>, Error> {
    let found = found(connection, seq, false)?;
    let links = found.map(|found| found.links).unwrap_or_default();
    Ok(links.into_iter().map(|linked| linked.link).collect())
}

/// When retrieval was complete.
pub(super) fn retrieved_at(connection: &Connection, seq: i64) -> Result<Option<Millis>, Error> {
    let at = connection
        .prepare_cached("SELECT retrieved_at FROM retrievals WHERE event = ?1")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    Ok(at.flatten())
}

fn old_links(connection: &Connection, seq: i64, with_bodies: bool) -> Result<Vec<Linked>, Error> {
    let mut statement = connection.prepare_cached(OLD_LINKS)?;
    let mut rows = statement.query((seq, with_bodies))?;
    let mut links = Vec::new();
    while let Some(stored) = rows.next()? {
        links.push(Linked {
            link: row::link(stored)?,
            body: stored.get::<_, Option<Vec<u8>>>(8)?.map(row::bytes),
        });
    }
    Ok(links)
}
