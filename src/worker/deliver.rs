//! Delivers events to one sink. Each sink has a loop of its own, so a sink that is down does not delay the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::breaker::{Admit, Breaker, Guarded};
use super::claims::Work;
use super::{Shared, backoff, report, trace};
use crate::config::SinkConfig;
use crate::domain::{Cause, Document, EventState, Millis, Reason};
use crate::journal::{
    self, Admission, Claimed, ClaimedDelivery, DeliveryEnd, End, Ended, How, Permit, Task, Wanted,
};
use crate::lifecycle::{Alert, TaskGroup};
use crate::sinks::{self, CloudEvent, Sink, SinkAnswer};

/// A sink's channel for deliveries, as seen by those who plan them.
pub(super) struct Outlet {
    pub(super) deliverer: Arc<Deliverer>,
    pub(super) admission: Admission,
    pub(super) wakeup: Arc<Notify>,
}

impl Outlet {
    /// The sink's name.
    pub(super) fn name(&self) -> &str {
        &self.deliverer.config.name
    }

    /// Starts a delivery whose lease this instance already holds.
    pub(super) fn start(&self, claimed: ClaimedDelivery, permit: Permit, tasks: &TaskGroup) {
        let deliverer = Arc::clone(&self.deliverer);
        tasks.spawn(Deliverer::NAME, deliverer.work(claimed, permit));
    }
}

/// The delivery work of one sink.
pub(super) struct Deliverer {
    config: SinkConfig,
    sink: Arc<dyn Sink>,
    shared: Arc<Shared>,
    breaker: Breaker,
}

impl Deliverer {
    pub(super) fn new(config: SinkConfig, sink: Arc<dyn Sink>, shared: Arc<Shared>) -> Self {
        let guarded = Guarded::Sink(config.name.clone());
        Self {
            breaker: Breaker::new(shared.metrics.clone(), guarded),
            config,
            sink,
            shared,
        }
    }

    /// Renders the event and delivers it, and reports the sink's answer to the breaker.
    async fn attempt(&self, document: &Document) -> SinkAnswer {
        let origin = self.shared.traces.origin(document.id);
        let from = (&*self.shared.instance, origin);
        let event = match CloudEvent::of(document, self.config.include, from) {
            Ok(event) => event,
            // Another attempt would render the same bytes; an operator has to look at them.
            Err(unrenderable) => {
                self.breaker.probe_ended();
                return SinkAnswer::Rejected {
                    reason: Reason::new(Cause::DeliverUnrenderable, unrenderable.to_string()),
                };
            }
        };
        let outcome = sinks::deliver(&*self.sink, &event).await;
        match &outcome {
            // The sink itself was not called.
            SinkAnswer::Rejected { reason } if reason.cause == Cause::DeliverUnrenderable => {
                self.breaker.probe_ended();
            }
            SinkAnswer::Delivered | SinkAnswer::Rejected { .. } => {
                self.breaker.success(Instant::now())
            }
            SinkAnswer::Retry { reason, .. } => self.breaker.failure(Instant::now(), &reason.text),
        }
        outcome
    }

    /// The end of this claim that follows from the sink's answer.
    fn end(&self, claimed: &ClaimedDelivery, outcome: SinkAnswer) -> DeliveryEnd {
        let clock = &self.shared.clock;
        match outcome {
            SinkAnswer::Delivered => DeliveryEnd::Delivered {
                at: clock.now(),
                applied_by: self
                    .config
                    .expect_applied
                    .map(|within| clock.monotonic_in(within)),
            },
            SinkAnswer::Rejected { reason } => DeliveryEnd::Dead { reason },
            SinkAnswer::Retry { after, reason } => {
                let at =
                    clock.monotonic_in(backoff::wait(&self.config.retry, claimed.attempt, after));
                let give_up = Millis::try_from(self.config.retry.give_up_after.as_millis())
                    .unwrap_or(Millis::MAX);
                if clock.monotonic().saturating_sub(claimed.started_at) >= give_up {
                    DeliveryEnd::Dead {
                        reason: reason
                            .after(&format!("given up after {} attempts", claimed.attempt)),
                    }
                } else {
                    DeliveryEnd::Retry { at, reason }
                }
            }
        }
    }

    fn log(&self, document: &Document, end: &DeliveryEnd, ended: &Ended) {
        let sink = self.config.name.as_str();
        match end {
            DeliveryEnd::Delivered { .. } => {
                self.shared.alerts.resolve(Alert::SinkExhausted, sink);
                tracing::debug!(event.id = %document.id, sink, "delivered");
            }
            DeliveryEnd::Retry { reason, .. } => {
                tracing::warn!(event.id = %document.id, sink, cause = %reason.cause, %reason, "not delivered; trying again");
            }
            DeliveryEnd::Dead { reason } => {
                let message = format!(
                    "deliveries to the sink {sink} were given up or rejected; replay them when it is fixed"
                );
                self.shared
                    .alerts
                    .raise(Alert::SinkExhausted, sink, message);
                tracing::error!(event.id = %document.id, sink, cause = %reason.cause, %reason, "delivery given up; replay it when the cause is fixed");
            }
        }
        if let Ended::Kept {
            event: Some(state), ..
        } = *ended
        {
            let took = self.shared.clock.now().duration_since(document.received_at);
            let took = Duration::try_from(took).unwrap_or_default();
            match state {
                EventState::Done => self.shared.metrics.end_to_end(took),
                _ => self.shared.metrics.dead(),
            }
            self.shared.journal.feed().publish(document.id, state);
            report::end(document, state, took);
        }
    }
}

#[async_trait]
impl Work for Deliverer {
    type Item = ClaimedDelivery;
    const NAME: &'static str = "delivery";

    async fn claim(&self, limit: usize) -> Result<Vec<ClaimedDelivery>, journal::Error> {
        let (admit, clock) = (self.breaker.admit(Instant::now()), &self.shared.clock);
        let limit = match admit {
            Admit::All => limit,
            Admit::One => 1,
            Admit::None => return Ok(Vec::new()),
        };
        let task = Task::Deliver(self.config.name.clone());
        let wanted = Wanted {
            now: clock.monotonic(),
            tasks: vec![(vec![task], limit)],
            limit,
        };
        let claimed = self.shared.journal.claim(wanted).await;
        if admit == Admit::One && !claimed.as_ref().is_ok_and(|claimed| !claimed.is_empty()) {
            self.breaker.probe_ended();
        }
        let deliveries = claimed?.into_iter().filter_map(|claimed| match claimed {
            Claimed::Delivery(delivery) => Some(delivery),
            Claimed::Event(_) | Claimed::Late(_) => None,
        });
        Ok(deliveries.collect())
    }

    fn lets_in(&self) -> bool {
        self.breaker.is_closed()
    }

    async fn work(self: Arc<Self>, claimed: ClaimedDelivery, permit: Permit) {
        let span = trace::delivery(&self.shared, &self.config.name, &claimed);
        span.scope(self.deliver(claimed, permit)).await;
    }
}

impl Deliverer {
    /// Makes one delivery and records its end.
    async fn deliver(&self, claimed: ClaimedDelivery, permit: Permit) {
        let (shared, document) = (&self.shared, &claimed.document);
        let start = Instant::now();
        let outcome = tokio::select! {
            biased;
            () = shared.journal.lost() => {
                // This instance's leases are no longer valid: another instance will make this delivery, and a result
                // from here would not be recorded.
                self.breaker.probe_ended();
                return shared.journal.abandon(&claimed.lease);
            }
            outcome = self.attempt(document) => outcome,
        };
        drop(permit);
        let took = start.elapsed();
        let result = match &outcome {
            SinkAnswer::Delivered => "delivered",
            SinkAnswer::Retry { .. } => "retry",
            SinkAnswer::Rejected { .. } => "rejected",
        };
        shared.metrics.delivery(&self.config.name, result, took);
        trace::delivered(result, &outcome);
        let end = self.end(&claimed, outcome);
        if let DeliveryEnd::Delivered { at, .. } = &end {
            shared.metrics.sink_took(&self.config.name, *at);
        }
        let ended = shared.ends.write(End {
            lease: claimed.lease.clone(),
            how: How::Delivery(end.clone()),
            took,
            instance: Arc::clone(&shared.instance),
        });
        if let Some(ended) = ended.await {
            self.log(document, &end, &ended);
        }
    }
}
