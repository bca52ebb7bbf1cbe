//! Registers sessions, and fills in unknown fields of sessions that are already registered.

use deadpool_postgres::Client;

use super::read::{SELECT, read};
use crate::domain::EncounterId;
use crate::journal::postgres::row;
use crate::journal::postgres::server_clock::ServerClock;
use crate::journal::{Error, NewExpected, Registered};

/// Of a registered session only unknown fields are filled in, and the new data may make its next poll due sooner. A
/// sibling session that the partner registers itself is no longer marked as a sibling. A session whose event is already
/// stored is met at once.
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

pub(super) async fn expect(
    client: &Client,
    clock: ServerClock,
    sessions: &[NewExpected],
) -> Result<Vec<Registered>, Error> {
    // One statement may name each session only once, so a further registration of the same session goes into the next
    // statement.
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
