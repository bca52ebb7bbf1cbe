//! Releases an event from quarantine when its bytes can be parsed.

use deadpool_postgres::Client;
use tokio_postgres::error::SqlState;

use super::expectation::meet;
use super::{progress, row};
use crate::domain::{EventId, Notification};
use crate::journal::lease::new_fence;
use crate::journal::{Error, Requeued};

const FIND: &str =
    "SELECT seq, junk IS NOT NULL AND body IS NOT NULL AS is_quarantined FROM receipts
    WHERE id = $1 FOR NO KEY UPDATE";
const SAME: &str = "SELECT id FROM receipts WHERE session_id = $1 AND dedupe = $2";
const REQUEUE: &str = "UPDATE receipts SET session_id = $2, dedupe = $3, encounter_id = $4, status = $5, outcome = $6,
    kind = $7, error_code = $8, needs_sdp = $9, junk = NULL WHERE seq = $1";
const WORK: &str = concat!(
    "WITH new AS (SELECT seq, id, session_id, source, needs_sdp, junk FROM receipts WHERE seq = $1),
    ended AS (DELETE FROM endings WHERE event = $1),
    counted AS (INSERT INTO counts (state, n) VALUES ('quarantined', -1), ('received', 1)),
    ",
    meet!(),
    "
    INSERT INTO work (event, task, due, fence, started_at)
    SELECT seq, CASE WHEN needs_sdp THEN 'new' ELSE 'forward' END, server_millis(), $2, server_millis() FROM new"
);

/// Turns a quarantined event into the notification that its bytes are.
pub(super) async fn requeue(
    client: &mut Client,
    id: EventId,
    notification: &Notification,
    actor: &str,
) -> Result<Requeued, Error> {
    let transaction = client.transaction().await?;
    let Some(found) = transaction.query_opt(FIND, &[&row::uuid(id)]).await? else {
        return Ok(Requeued::NotFound);
    };
    if !row::get(&found, "is_quarantined")? {
        return Ok(Requeued::NotQuarantined);
    }
    let seq: i64 = row::get(&found, "seq")?;
    let text = |text: Option<&str>| text.map(|text| row::text(text).into_owned());
    let session_id = row::text(notification.session_id.as_str());
    let dedupe = &notification.dedupe.as_bytes()[..];
    let same = transaction.query_opt(SAME, &[&session_id, &dedupe]).await?;
    if let Some(same) = same {
        return Ok(Requeued::Duplicate(row::id(&same, "id")?));
    }
    let changed = transaction
        .execute(
            REQUEUE,
            &[
                &seq,
                &session_id,
                &dedupe,
                &text(notification.encounter_id.as_ref().map(|id| id.as_str())),
                &text(notification.status()),
                &notification.outcome().as_str(),
                &notification.kind().as_str(),
                &text(notification.error_code()),
                &notification.needs_sdp(),
            ],
        )
        .await;
    if let Err(error) = changed {
        // Another instance has stored the same notification at this very moment.
        if error.code() == Some(&SqlState::UNIQUE_VIOLATION) {
            drop(transaction);
            let same = client.query_one(SAME, &[&session_id, &dedupe]).await?;
            return Ok(Requeued::Duplicate(row::id(&same, "id")?));
        }
        return Err(error.into());
    }
    transaction.execute(WORK, &[&seq, &new_fence()]).await?;
    progress::history(&transaction, seq, "requeue", &format!("by {actor}")).await?;
    transaction.commit().await?;
    Ok(Requeued::Scheduled)
}
