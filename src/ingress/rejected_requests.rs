//! Stores requests that match no secret, in a background task: the sender has its 401 before anything is written, and a
//! flood of such requests neither slows the intake down nor takes more disk than the limits allow.

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::journal::{Bounds, Journal, RejectedRequest};
use crate::lifecycle::TaskGroup;
use crate::signature::Claim;

/// How many requests may wait to be written; any beyond that are dropped. Each may be as large as the largest body.
const WAITING: usize = 32;

/// The sending half: rejected requests are queued here. Cheap to clone.
#[derive(Clone)]
pub(super) struct RejectedRequests(Option<mpsc::Sender<RejectedRequest>>);

/// The background task that writes rejected requests to the journal.
pub struct RejectedKeeper {
    waiting: mpsc::Receiver<RejectedRequest>,
    bounds: Bounds,
}

impl RejectedRequests {
    /// The queue, and the task that writes its requests within `bounds`.
    pub(super) fn new(bounds: Bounds) -> (Self, RejectedKeeper) {
        let (sender, waiting) = mpsc::channel(WAITING);
        let is_wanted = bounds.requests > 0;
        (
            Self(is_wanted.then_some(sender)),
            RejectedKeeper { waiting, bounds },
        )
    }

    /// Queues a request whose headers are well-formed and match no secret. Returns `false` when such requests are not
    /// to be kept, or when the queue is full.
    pub(super) fn hand_in(&self, received_at: Timestamp, claim: &Claim<'_>, body: Bytes) -> bool {
        let (Some(waiting), Some(generated_at), Some(signature)) =
            (&self.0, claim.generated_at(), claim.signature())
        else {
            return false;
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let request = RejectedRequest {
            received_at,
            generated_at: text(generated_at),
            signature: text(signature),
            body,
        };
        waiting.try_send(request).is_ok()
    }
}

impl RejectedKeeper {
    /// Writes queued requests until `tasks` stops, and then those that are still queued.
    pub async fn run(mut self, journal: Journal, tasks: TaskGroup) {
        let mut batch = Vec::with_capacity(WAITING);
        loop {
            tokio::select! {
                count = self.waiting.recv_many(&mut batch, WAITING) => if count == 0 { return },
                () = tasks.stopping() => {
                    self.waiting.close();
                    if self.waiting.recv_many(&mut batch, WAITING).await == 0 {
                        return;
                    }
                }
            }
            let count = batch.len();
            let requests = std::mem::take(&mut batch);
            if let Err(error) = journal.keep_rejected(requests, self.bounds).await {
                tracing::warn!(error = %error, count, "rejected requests could not be kept");
            }
        }
    }
}
