//! The record of calls, which tests inspect afterwards.
//!
//! It keeps only the newest calls, so that a long load does not fill the memory, and contains no token and no body.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::Request;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::api::{TOKEN_HEADER, provider};
use crate::domain::Clock;

/// How many calls are kept.
const KEPT: usize = 100_000;

/// One call of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The time of the call.
    pub at: Timestamp,
    /// The method.
    pub method: String,
    /// The path and query.
    pub path: String,
    /// Whether the call had a token, valid or not.
    pub had_token: bool,
    /// The provider header, if the call had one.
    pub provider: Option<String>,
    /// The user of the token, if the token was valid.
    pub user: Option<String>,
    /// The status that it was answered with; `None` while it is not, or when the caller did not wait for it.
    pub status: Option<u16>,
}

impl Call {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "at": self.at.to_string(),
            "method": self.method,
            "path": self.path,
            "had_token": self.had_token,
            "provider": self.provider,
            "user": self.user,
            "status": self.status,
        })
    }
}

/// The record, shared by all connections.
pub(super) struct Calls {
    clock: Clock,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    calls: VecDeque<Call>,
    /// The number of the first call in `calls`, counted from the start.
    first: usize,
    open: usize,
    max_open: usize,
}

/// A call that is being answered. Dropped when the head of the answer is ready or the caller has gone.
pub(super) struct Open {
    number: usize,
    log: Arc<Mutex<Log>>,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::start(),
            log: Arc::default(),
        }
    }

    /// Records a call, with the user of its token.
    pub(super) fn begin(&self, request: &Request, user: Option<&str>) -> Open {
        let call = Call {
            at: self.clock.now(),
            method: request.method().to_string(),
            path: request.uri().to_string(),
            had_token: request.headers().contains_key(TOKEN_HEADER),
            provider: provider(request.headers()).map(str::to_owned),
            user: user.map(str::to_owned),
            status: None,
        };
        let mut log = lock(&self.log);
        if log.calls.len() == KEPT {
            log.calls.pop_front();
            log.first += 1;
        }
        log.calls.push_back(call);
        log.open += 1;
        log.max_open = log.max_open.max(log.open);
        Open {
            number: log.first + log.calls.len() - 1,
            log: Arc::clone(&self.log),
        }
    }

    /// All recorded calls, oldest first.
    pub(super) fn all(&self) -> Vec<Call> {
        lock(&self.log).calls.iter().cloned().collect()
    }

    /// The number of recorded calls for which `fits` is true.
    pub(super) fn count(&self, fits: impl Fn(&Call) -> bool) -> usize {
        lock(&self.log)
            .calls
            .iter()
            .filter(|call| fits(call))
            .count()
    }

    /// The highest number of concurrent calls.
    pub(super) fn max_concurrent(&self) -> usize {
        lock(&self.log).max_open
    }

    /// Forgets the recorded calls; those that are being answered still count as open.
    pub(super) fn reset(&self) {
        let mut log = lock(&self.log);
        log.first += log.calls.len();
        log.calls.clear();
        log.max_open = log.open;
    }
}

impl Open {
    /// Records the answer.
    pub(super) fn answered(self, status: StatusCode) {
        let mut log = lock(&self.log);
        let kept = self.number.checked_sub(log.first);
        if let Some(call) = kept.and_then(|index| log.calls.get_mut(index)) {
            call.status = Some(status.as_u16());
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.log).open -= 1;
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
