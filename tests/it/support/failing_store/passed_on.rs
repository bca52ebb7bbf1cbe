//! What the store behind does as it is: nothing of this fails on demand.

use async_trait::async_trait;
use suki_receiver::domain::{Cause, Expected, Millis, Poll, SessionId};
use suki_receiver::journal::{
    Cancelled, CauseGroup, CauseNote, CauseNotes, Change, Error, Expectations, ExpectedFilter,
    ExpectedPage, ExpectedStats, Filter, NewExpected, NewReplayJob, Pause, Pauses, PollEnded,
    Polled, Preview, Progress, Registered, ReplayJob, ReplayStep, Replays,
};

use super::FailingStore;

#[async_trait]
impl Replays for FailingStore {
    async fn count(&self, filter: Filter, most: u32) -> Result<u64, Error> {
        self.inner.count(filter, most).await
    }

    async fn preview(&self, filter: Filter) -> Result<Preview, Error> {
        self.inner.preview(filter).await
    }

    async fn begin_job(&self, job: NewReplayJob) -> Result<i64, Error> {
        self.inner.begin_job(job).await
    }

    async fn job(&self, id: i64) -> Result<Option<ReplayJob>, Error> {
        self.inner.job(id).await
    }

    async fn jobs(&self, limit: usize) -> Result<Vec<ReplayJob>, Error> {
        self.inner.jobs(limit).await
    }

    async fn progress(&self, id: i64) -> Result<Progress, Error> {
        self.inner.progress(id).await
    }

    async fn cancel_job(&self, id: i64, actor: String) -> Result<Cancelled, Error> {
        self.inner.cancel_job(id, actor).await
    }

    async fn claim_jobs(&self) -> Result<Vec<ReplayJob>, Error> {
        self.inner.claim_jobs().await
    }

    async fn advance_job(&self, step: ReplayStep) -> Result<bool, Error> {
        self.inner.advance_job(step).await
    }

    async fn causes(&self) -> Result<Vec<CauseGroup>, Error> {
        self.inner.causes().await
    }
}

#[async_trait]
impl CauseNotes for FailingStore {
    async fn cause_notes(&self) -> Result<Vec<CauseNote>, Error> {
        self.inner.cause_notes().await
    }

    async fn note_cause(
        &self,
        cause: Cause,
        sink: Option<String>,
        text: Option<String>,
        actor: String,
    ) -> Result<(), Error> {
        self.inner.note_cause(cause, sink, text, actor).await
    }
}

#[async_trait]
impl Pauses for FailingStore {
    async fn paused(&self) -> Result<Vec<Pause>, Error> {
        self.inner.paused().await
    }

    async fn pause(
        &self,
        sink: String,
        actor: String,
        reason: Option<String>,
    ) -> Result<Option<Pause>, Error> {
        self.inner.pause(sink, actor, reason).await
    }

    async fn resume(&self, sink: String) -> Result<Option<Pause>, Error> {
        self.inner.resume(sink).await
    }
}

#[async_trait]
impl Expectations for FailingStore {
    async fn expect(&self, sessions: Vec<NewExpected>) -> Result<Vec<Registered>, Error> {
        self.inner.expect(sessions).await
    }

    async fn change_expected(
        &self,
        id: SessionId,
        change: Change,
        poll: Option<Poll>,
    ) -> Result<Option<Expected>, Error> {
        self.inner.change_expected(id, change, poll).await
    }

    async fn poll_now(&self, id: SessionId, now: Millis) -> Result<Option<Expected>, Error> {
        self.inner.poll_now(id, now).await
    }

    async fn withdraw(&self, id: SessionId) -> Result<Option<Expected>, Error> {
        self.inner.withdraw(id).await
    }

    async fn expected(&self, id: SessionId) -> Result<Option<Expected>, Error> {
        self.inner.expected(id).await
    }

    async fn list_expected(
        &self,
        filter: ExpectedFilter,
        limit: usize,
        cursor: Option<i64>,
    ) -> Result<ExpectedPage, Error> {
        self.inner.list_expected(filter, limit, cursor).await
    }

    async fn due_sessions(
        &self,
        now: Millis,
        limit: usize,
    ) -> Result<Option<Vec<Expected>>, Error> {
        self.inner.due_sessions(now, limit).await
    }

    async fn polled(&self, answers: Vec<Polled>) -> Result<Vec<PollEnded>, Error> {
        self.inner.polled(answers).await
    }

    async fn expected_stats(&self) -> Result<ExpectedStats, Error> {
        self.inner.expected_stats().await
    }
}
