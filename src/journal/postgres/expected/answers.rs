//! Records answers to polls while the session is still awaited, and makes an event for a session that has ended.

use std::sync::Arc;

use deadpool_postgres::Transaction;

use crate::domain::{EventId, ExpectedState, Poll, Source};
use crate::journal::postgres::server_clock::ServerClock;
use crate::journal::postgres::writes::Writes;
use crate::journal::postgres::{insert, row};
use crate::journal::record::NewContent;
use crate::journal::{
    Appended, Error, Follows, Found, NewEvent, PollAnswer, PollEnded, Polled, Recovered,
};

const NOTE: &str = "UPDATE expected SET state = $2, due = server_millis() + $3::bigint, lane = coalesce($4, lane),
        polls = polls + $5::integer, last_status = coalesce($6, last_status), last_result = $7,
        kind = CASE $8::text WHEN 'unknown' THEN kind ELSE $8 END, aborted_at = $9,
        settled_at = CASE WHEN $3::bigint IS NULL THEN server_millis() END, event = coalesce($10, event)
    WHERE seq = $1";

/// Records the answer to a poll.
pub(super) async fn end(
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

/// Writes the answer and the session's state.
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

/// Makes the event of a session that has ended, unless it has one already. A notification that is being stored
/// meanwhile waits for the lock of the session's row, and then sees this event.
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
    let number = row::number_of(transaction, recovered.id).await?;
    let number = number.ok_or_else(|| row::corrupt("seq"))?;
    let found = Found {
        session: recovered.session.clone(),
        links: Vec::new(),
    };
    let writes = Writes {
        found: vec![(number, found, 0, false)],
        ..Writes::default()
    };
    writes.write(transaction, uuid::Uuid::nil()).await?;
    let end = (ExpectedState::Recovered, None);
    note(transaction, clock, polled, end, true, Some(recovered.id)).await?;
    Ok(PollEnded::Recovered(recovered.id))
}
