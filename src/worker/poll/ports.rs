//! What the questions need of the vendor and of the store, so that a test can put a day of many sessions in their place. The
//! service has one implementation of each.

use async_trait::async_trait;

use crate::domain::{Expected, Millis, SessionKind, SessionStatus};
use crate::journal::{self, ExpectedStats, Journal, PollEnded, Polled};
use crate::sdp::{self, Failure, Subject};

/// Who is asked how a session stands.
#[async_trait]
pub(in crate::worker) trait Vendor: Send + Sync + 'static {
    /// How a session stands, and its kind.
    async fn status(
        &self,
        subject: &Subject<'_>,
        kind: SessionKind,
    ) -> Result<(SessionKind, SessionStatus), Failure>;

    /// Waits while calls for notifications go first.
    async fn give_way(&self);

    /// How many calls fetch what a completed session has.
    fn calls_to_fetch(&self, subject: &Subject<'_>, kind: SessionKind) -> u32;
}

/// Where expected sessions are kept.
#[async_trait]
pub(in crate::worker) trait Book: Send + Sync + 'static {
    /// Whether this instance may work.
    fn is_alive(&self) -> bool;

    /// Sessions that are due, in the order in which to ask; `None` where another instance asks.
    async fn due_sessions(
        &self,
        now: Millis,
        limit: usize,
    ) -> Result<Option<Vec<Expected>>, journal::Error>;

    /// Writes down what came of a question.
    async fn polled(&self, polled: Polled) -> Result<Option<PollEnded>, journal::Error>;

    /// How they stand.
    async fn stats(&self) -> Result<ExpectedStats, journal::Error>;

    /// An event is due.
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
impl Book for Journal {
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

    fn wake(&self) {
        Self::wake(self);
    }
}
