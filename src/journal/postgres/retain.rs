//! Retention: removes, in small steps, what has reached the end of its retention. Rows that are locked are left for the
//! next run, and concurrent instances take different rows.

use deadpool_postgres::Client;

use super::server_clock::ServerClock;
use super::{counts, row};
use crate::domain::EventState;
use crate::journal::{Error, Expiry, Purged};

/// Removes the content of events that have been in state $2 long enough: ended before now plus $1 (negative), at most
/// $3 of them.
const PURGE: &str = "WITH gone AS (
        SELECT event FROM endings WHERE has_content AND state = $2 AND ended_at < server_millis() + $1::bigint
        ORDER BY ended_at LIMIT $3::bigint FOR UPDATE SKIP LOCKED),
    no_answers AS (UPDATE retrievals SET bodies = NULL WHERE event IN (SELECT event FROM gone)),
    no_links AS (UPDATE links SET body = NULL WHERE event IN (SELECT event FROM gone)),
    no_work AS (DELETE FROM work WHERE event IN (SELECT event FROM gone) RETURNING event, task, tries, started_at),
    no_replays AS (DELETE FROM replays WHERE event IN (SELECT event FROM gone)),
    undelivered AS (
        INSERT INTO deliveries (event, sink, state, attempts, started_at, last_error, cause_code)
        SELECT event, substr(task, 9), 'dead', tries, started_at, 'its content was purged', 'purged' FROM no_work
        WHERE task LIKE 'deliver:%'
        ON CONFLICT (event, sink) DO UPDATE SET state = excluded.state, last_error = excluded.last_error,
            cause_code = excluded.cause_code),
    no_bodies AS (UPDATE receipts SET body = NULL WHERE seq IN (SELECT event FROM gone) RETURNING session_id),
    no_contexts AS (
        UPDATE expected SET context = NULL WHERE context IS NOT NULL AND session_id IN (SELECT session_id FROM no_bodies))
    UPDATE endings SET has_content = false WHERE event IN (SELECT event FROM gone)";
/// Removes the receipts of done events, and of dead or quarantined ones whose content was removed by an operator or by
/// an age limit.
const RECEIPTS: &str = "WITH gone AS (
        SELECT event, state FROM endings WHERE ended_at < server_millis() + $1::bigint
            AND (state = 'done' OR (state IN ('dead', 'quarantined') AND NOT has_content))
        ORDER BY ended_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED),
    no_links AS (DELETE FROM links WHERE event IN (SELECT event FROM gone)),
    no_answers AS (DELETE FROM retrievals WHERE event IN (SELECT event FROM gone)),
    no_deliveries AS (DELETE FROM deliveries WHERE event IN (SELECT event FROM gone)),
    no_attempts AS (DELETE FROM attempts WHERE event IN (SELECT event FROM gone)),
    no_work AS (DELETE FROM work WHERE event IN (SELECT event FROM gone)),
    no_replays AS (DELETE FROM replays WHERE event IN (SELECT event FROM gone)),
    no_amendments AS (DELETE FROM amendments WHERE event IN (SELECT event FROM gone)),
    no_unapplied AS (DELETE FROM unapplied WHERE event IN (SELECT event FROM gone)),
    no_endings AS (DELETE FROM endings WHERE event IN (SELECT event FROM gone)),
    counted AS (INSERT INTO counts (state, n) SELECT state, -count(*) FROM gone GROUP BY state)
    DELETE FROM receipts WHERE seq IN (SELECT event FROM gone)";

/// Removes the context of sessions that ended long ago, and later the sessions.
const SESSIONS: &str = "WITH old AS (
        SELECT seq FROM expected WHERE context IS NOT NULL AND settled_at < server_millis() + $1::bigint LIMIT $3::bigint),
    no_contexts AS (UPDATE expected SET context = NULL WHERE seq IN (SELECT seq FROM old))
    DELETE FROM expected WHERE seq IN (SELECT seq FROM expected
        WHERE due IS NULL AND settled_at < server_millis() + $2::bigint AND context IS NULL LIMIT $3::bigint)";

/// Removes replay jobs that ended long ago.
const JOBS: &str = "WITH gone AS (DELETE FROM replay_jobs WHERE ended_at < server_millis() + $1::bigint RETURNING id)
    DELETE FROM replayed WHERE job IN (SELECT id FROM gone)";

/// Removes at most `limit` of each kind.
pub(super) async fn retain(
    client: &Client,
    clock: ServerClock,
    expiry: Expiry,
    limit: usize,
) -> Result<Purged, Error> {
    let mut purged = Purged::default();
    let kinds = [
        (EventState::Done, Some(expiry.content)),
        (EventState::Dead, expiry.dead),
        (EventState::Quarantined, expiry.quarantined),
    ];
    for (state, before) in kinds {
        let Some(before) = before else { continue };
        let before = clock.distance(before);
        let purge = client.prepare_cached(PURGE).await?;
        let gone = client
            .execute(&purge, &[&before, &state.as_str(), &row::limit(limit)])
            .await?;
        let gone = usize::try_from(gone).unwrap_or(usize::MAX);
        purged.content += gone;
        purged.is_all &= gone < limit;
    }
    if let Some(before) = expiry.quarantined {
        client
            .execute(
                "DELETE FROM unauthentic WHERE kept_at < server_millis() + $1::bigint",
                &[&clock.distance(before)],
            )
            .await?;
    }
    let receipts = client.prepare_cached(RECEIPTS).await?;
    let gone = client
        .execute(
            &receipts,
            &[&clock.distance(expiry.receipts), &row::limit(limit)],
        )
        .await?;
    purged.receipts = usize::try_from(gone).unwrap_or(usize::MAX);
    purged.is_all &= purged.receipts < limit;
    let sessions = client.prepare_cached(SESSIONS).await?;
    let (content, gone) = (
        clock.distance(expiry.content),
        clock.distance(expiry.receipts),
    );
    client
        .execute(&sessions, &[&content, &gone, &row::limit(limit)])
        .await?;
    let jobs = client.prepare_cached(JOBS).await?;
    client.execute(&jobs, &[&gone]).await?;
    counts::fold(client).await?;
    Ok(purged)
}
