//! Expected sessions: they are registered, polled, and ended by their notification, by the answer to a poll, or for a
//! recorded reason.

mod answers;
mod due;
mod list;
mod read;
mod registration;

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::params;

use self::answers::{end, unseen};
use self::due::due;
use self::list::{list, stats};
use self::read::one;
use self::registration::{change_one, expect};
use super::SqliteStore;
use crate::domain::{Expected, KEPT_FOR, Lane, Millis, Poll, SessionId};
use crate::journal::{
    Change, Error, Expectations, ExpectedFilter, ExpectedPage, ExpectedStats, NewExpected,
    PollEnded, Polled, Registered,
};

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
        self.query_readers
            .read(move |connection| one(connection, &id))
            .await
    }

    async fn list_expected(
        &self,
        filter: ExpectedFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<ExpectedPage, Error> {
        self.query_readers
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
        // On a reading connection, because there may be many unprocessed events. An event that is appended from now on
        // meets its session itself.
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
        let kept_since = (Timestamp::now() - KEPT_FOR).as_millisecond();
        self.query_readers
            .read(move |connection| stats(connection, kept_since))
            .await
    }
}
