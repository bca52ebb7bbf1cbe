//! Expected sessions: they are registered, polled, and ended by their notification, by the answer to a poll, or for a
//! recorded reason.
//!
//! A session is written only under the lock of its row. So a notification and a recovery by polling are written one
//! after the other, and the later one sees the earlier one.

mod answers;
mod due;
mod list;
mod read;
mod registration;

use async_trait::async_trait;
use deadpool_postgres::Client;
use tokio_postgres::types::ToSql;

use self::answers::end;
use self::due::due;
use self::list::{list, stats};
use self::read::one;
use self::registration::expect;
use super::{PostgresStore, row};
use crate::domain::{Expected, Lane, Millis, Poll, SessionId};
use crate::journal::{
    Change, Error, Expectations, ExpectedFilter, ExpectedPage, ExpectedStats, NewExpected,
    PollEnded, Polled, Registered,
};

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

#[async_trait]
impl Expectations for PostgresStore {
    async fn expect(&self, sessions: Vec<NewExpected>) -> Result<Vec<Registered>, Error> {
        self.work(async |client| expect(client, self.clock, &sessions).await)
            .await
    }

    async fn change_expected(
        &self,
        id: SessionId,
        change: Change,
        poll: Option<Poll>,
    ) -> Result<Option<Expected>, Error> {
        let clock = self.clock;
        self.work(async |client: &mut Client| {
            let change_it = client.prepare_cached(CHANGE).await?;
            let millis = |time: Option<jiff::Timestamp>| time.map(|time| time.as_millisecond());
            let provider = change.provider.as_deref().map(row::text);
            client
                .execute(
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
            one(client, clock, &id).await
        })
        .await
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
        self.query(async |client| one(client, self.clock, &id).await)
            .await
    }

    async fn list_expected(
        &self,
        filter: ExpectedFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<ExpectedPage, Error> {
        self.query(async |client| list(client, self.clock, &filter, limit, cursor).await)
            .await
    }

    async fn due_sessions(
        &self,
        now: Millis,
        limit: usize,
    ) -> Result<Option<Vec<Expected>>, Error> {
        self.work(async |client| due(client, self, now, limit).await)
            .await
    }

    async fn polled(&self, answers: Vec<Polled>) -> Result<Vec<PollEnded>, Error> {
        let clock = self.clock;
        self.work(async |client: &mut Client| {
            let transaction = client.transaction().await?;
            let mut ended = Vec::with_capacity(answers.len());
            for polled in &answers {
                ended.push(end(&transaction, clock, polled).await?);
            }
            transaction.commit().await?;
            Ok(ended)
        })
        .await
    }

    async fn expected_stats(&self) -> Result<ExpectedStats, Error> {
        self.query(async |client| stats(client, self.clock).await)
            .await
    }
}

impl PostgresStore {
    /// Changes a session by one statement, and returns its new state.
    async fn update(
        &self,
        id: &SessionId,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Expected>, Error> {
        self.work(async |client: &mut Client| {
            let statement = client.prepare_cached(sql).await?;
            client.execute(&statement, values).await?;
            one(client, self.clock, id).await
        })
        .await
    }
}
