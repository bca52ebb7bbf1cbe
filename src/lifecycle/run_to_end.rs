//! Work that runs within the task that waits for it, and goes on when that task is dropped: a request's task is dropped
//! when its sender disconnects, but the notification that it brought must still be kept.
//!
//! Spawning a task for each request would have the same effect, but costs a switch between threads.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

use super::TaskGroup;
use super::task_group::Member;

/// A future that becomes a task of its group if it is dropped before it has ended.
pub struct RunToEnd<F>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    work: Option<Pin<Box<F>>>,
    name: &'static str,
    group: TaskGroup,
    _member: Member,
}

impl<F> RunToEnd<F>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    /// Runs `work` when awaited. `name` is what a drain calls it while it waits for it.
    pub fn new(group: &TaskGroup, name: &'static str, work: F) -> Self {
        Self {
            work: Some(Box::pin(work)),
            name,
            group: group.clone(),
            _member: group.member(name),
        }
    }
}

impl<F> Future for RunToEnd<F>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out, so that `drop` does not poll work again that has panicked.
        let Some(mut work) = self.work.take() else {
            return Poll::Pending;
        };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F> Drop for RunToEnd<F>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn drop(&mut self) {
        // Without a runtime the process is about to end.
        if let Some(work) = self.work.take()
            && Handle::try_current().is_ok()
        {
            self.group.spawn(self.name, work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_goes_on_and_the_group_waits_for_it() {
        let group = TaskGroup::new("a test");
        let (go_on, wait) = oneshot::channel::<()>();
        let (done, mut is_done) = oneshot::channel();
        let work = RunToEnd::new(&group, "work", async move {
            wait.await.ok();
            done.send(()).ok();
        });
        let left = tokio::time::timeout(Duration::ZERO, work).await;
        assert!(left.is_err(), "it waits");
        go_on.send(()).expect("it goes on");
        assert!(
            group
                .finished(Instant::now() + Duration::from_secs(60))
                .await
        );
        is_done
            .try_recv()
            .expect("it was done before the group ended");
    }

    #[tokio::test]
    async fn work_that_has_panicked_does_not_go_on() {
        let group = TaskGroup::new("a test");
        let work = RunToEnd::new(&group, "work", async { panic!("on purpose") });
        let panicked = tokio::spawn(work).await;
        assert!(panicked.expect_err("it has").is_panic());
        assert!(
            group
                .finished(Instant::now() + Duration::from_secs(60))
                .await
        );
    }
}
