//! The interfaces to the vendor and to the store that polls use, so that a test can replace both. The service has one
//! implementation of each.

use async_trait::async_trait;

use crate::domain::{Expected, Millis, SessionKind, SessionStatus};
use crate::journal::{self, ExpectedStats, Journal, PollEnded, Polled, SentAlert};
use crate::sdp::{self, Failure, Subject};

/// The vendor's API.
#[async_trait]
pub(in crate::worker) trait Vendor: Send + Sync + 'static {
    /// A session's status and kind.
    async fn status(
        &self,
        subject: &Subject<'_>,
        kind: SessionKind,
    ) -> Result<(SessionKind, SessionStatus), Failure>;

    /// Waits while calls for notifications have priority.
    async fn give_way(&self);

    /// How many calls fetch a completed session's content.
    fn calls_to_fetch(&self, subject: &Subject<'_>, kind: SessionKind) -> u32;
}

/// The store of expected sessions.
#[async_trait]
pub(in crate::worker) trait SessionStore: Send + Sync + 'static {
    /// Whether this instance's leases are valid.
    fn is_alive(&self) -> bool;

    /// The due sessions in polling order; `None` while another instance polls.
    async fn due_sessions(
        &self,
        now: Millis,
        limit: usize,
    ) -> Result<Option<Vec<Expected>>, journal::Error>;

    /// Records the answer to a poll.
    async fn polled(&self, polled: Polled) -> Result<Option<PollEnded>, journal::Error>;

    /// Statistics of all expected sessions.
    async fn stats(&self) -> Result<ExpectedStats, journal::Error>;

    /// The alerts that any instance sent to a sink and that are not resolved.
    async fn sent_alerts(&self) -> Result<Vec<SentAlert>, journal::Error>;

    /// Wakes the worker, because an event is due.
    fn wake(&self);
}

#[async_trait]
impl Vendor for sdp::Client {
    async fn status(
        &self,
        subject: &Subject<'_>,
        kind: SessionKind,
    ) -> Result<(SessionKind, SessionStatus), Failure> {
        Self::status(self, subject, kind).await
    }

    async fn give_way(&self) {
        Self::give_way(self).await;
    }

    fn calls_to_fetch(&self, subject: &Subject<'_>, kind: SessionKind) -> u32 {
        let links = self.standard_links(kind, subject.session, subject.encounter);
        u32::try_from(links.len()).unwrap_or(u32::MAX)
    }
}

#[async_trait]
impl SessionStore for Journal {
    fn is_alive(&self) -> bool {
        Self::is_alive(self)
    }

    async fn due_sessions(
        &self,
        now: Millis,
        limit: usize,
    ) -> Result<Option<Vec<Expected>>, journal::Error> {
        self.records().due_sessions(now, limit).await
    }

    async fn polled(&self, polled: Polled) -> Result<Option<PollEnded>, journal::Error> {
        let ended = self.records().polled(vec![polled]).await?;
        Ok(ended.into_iter().next())
    }

    async fn stats(&self) -> Result<ExpectedStats, journal::Error> {
        self.records().expected_stats().await
    }

    async fn sent_alerts(&self) -> Result<Vec<SentAlert>, journal::Error> {
        self.records().sent_alerts().await
    }

    fn wake(&self) {
        Self::wake(self);
    }
}
