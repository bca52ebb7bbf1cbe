//! Tasks and leases: what is to be done with an event, and under which lease an instance does it.
//!
//! A lease has no expiry of its own. It is valid while the instance that holds it is alive and nobody has taken the
//! work from it. Each lease has its own fencing token, so that a result from an earlier lease is recognized and
//! rejected.

use std::fmt;
use std::str::FromStr;

use super::Error;
use crate::domain::{EventId, EventState, Millis};

/// What is to be done with an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// Forward it to the sinks as it is, without a call to the vendor's API.
    Forward,
    /// As [`Task::Retrieve`], for an event that nobody has worked on yet.
    New,
    /// Retrieve what its links point to.
    Retrieve,
    /// Fetch again the content that was missing or has changed.
    Refresh,
    /// Deliver it to the sink of this name.
    Deliver(String),
}

/// The prefix in front of a sink's name.
const DELIVER: &str = "deliver:";

impl Task {
    /// The sink, if this is a delivery.
    pub(super) fn sink(&self) -> Option<&str> {
        match self {
            Self::Deliver(sink) => Some(sink),
            Self::Forward | Self::New | Self::Retrieve | Self::Refresh => None,
        }
    }

    /// The state in which an event is counted while this task is pending.
    pub(in crate::journal) fn counted_state(&self) -> EventState {
        match self {
            Self::Forward | Self::New => EventState::Received,
            Self::Retrieve => EventState::Retrieving,
            Self::Deliver(_) | Self::Refresh => EventState::Delivering,
        }
    }
}

/// The stored form of the task.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward => f.write_str("forward"),
            Self::New => f.write_str("new"),
            Self::Retrieve => f.write_str("retrieve"),
            Self::Refresh => f.write_str("refresh"),
            Self::Deliver(sink) => write!(f, "{DELIVER}{sink}"),
        }
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "forward" => Ok(Self::Forward),
            "new" => Ok(Self::New),
            "retrieve" => Ok(Self::Retrieve),
            "refresh" => Ok(Self::Refresh),
            word => match word.strip_prefix(DELIVER) {
                Some(sink) => Ok(Self::Deliver(sink.to_owned())),
                None => Err(format!("unknown task '{word}'")),
            },
        }
    }
}

/// The right of an instance to do a piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub(super) event: i64,
    pub(super) task: Task,
    pub(super) fence: i64,
}

impl Lease {
    /// The task that it is for.
    pub fn task(&self) -> &Task {
        &self.task
    }
}

/// The first task of an event that came as a notification.
pub(super) fn first_task(needs_sdp: bool) -> Task {
    if needs_sdp { Task::New } else { Task::Forward }
}

/// A new fencing token. Being random, it was never issued before.
pub(super) fn new_fence() -> i64 {
    rand::random()
}

/// The wait, in milliseconds, before work is claimed again whose event cannot be read.
pub(in crate::journal) const AFTER_UNREADABLE: Millis = 10 * 60 * 1000;

/// Reports an event that cannot be read. Its work waits and holds up no other; the version that wrote it may be able to
/// read it.
pub(in crate::journal) fn unreadable(event: Option<EventId>, error: &Error) {
    tracing::error!(
        event.id = event.map(tracing::field::display),
        error = %error,
        "an event cannot be read, so no work on it can be done; trying again in 10 minutes. Was it written by a newer version? \
         See also `suki-receiver store check`"
    );
}

/// The due time of a delivery that waits for its event to be retrieved: never.
pub(in crate::journal) const WHEN_RETRIEVED: Millis = Millis::MAX;

/// How much later than the last fetch a notification must have been sent to announce another note, in milliseconds.
/// Within that time it is taken for the sender's retry of the same request.
pub const LATER_BY: Millis = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_read_as_it_was_written() {
        let sink = |name: &str| Task::Deliver(name.to_owned());
        let tasks = [Task::Forward, Task::New, Task::Retrieve, Task::Refresh];
        for task in tasks
            .into_iter()
            .chain([sink("ehr"), sink("deliver:new"), sink("")])
        {
            assert_eq!(task.to_string().parse::<Task>().expect("a task"), task);
        }
        assert!("poll".parse::<Task>().is_err());
    }
}
