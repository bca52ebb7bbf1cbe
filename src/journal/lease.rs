//! Work and the right to do it: what is to be done with an event, and the lease under which an instance does it.
//!
//! A lease has no end of its own. It stands as long as the instance that holds it is alive and nobody has taken the work
//! from it; the number that changes with each holding (a fencing token) tells a result of an earlier one.

use crate::domain::Millis;
use std::fmt;
use std::str::FromStr;

/// What is to be done with an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// Hand it over to the sinks as it is: it needs no call to the vendor's API.
    Forward,
    /// The same as [`Task::Retrieve`], and nobody has looked at it yet.
    New,
    /// Retrieve what it links to.
    Retrieve,
    /// Ask again for what it was delivered without.
    Refresh,
    /// Deliver it to the sink of this name.
    Deliver(String),
}

/// What stands before a sink's name.
const DELIVER: &str = "deliver:";

impl Task {
    /// The sink, of a delivery.
    pub(super) fn sink(&self) -> Option<&str> {
        match self {
            Self::Deliver(sink) => Some(sink),
            Self::Forward | Self::New | Self::Retrieve | Self::Refresh => None,
        }
    }
}

/// The word under which it is stored.
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

/// The right to do a piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub(super) event: i64,
    pub(super) task: Task,
    pub(super) fence: i64,
}

impl Lease {
    /// What it is for.
    pub fn task(&self) -> &Task {
        &self.task
    }
}

/// The first task of a notification's event.
pub(super) fn first_task(needs_sdp: bool) -> Task {
    if needs_sdp { Task::New } else { Task::Forward }
}

/// The number of a holding. It was never given out before.
pub(super) fn new_fence() -> i64 {
    rand::random()
}

/// When a delivery is due that waits for its event to be retrieved.
pub(in crate::journal) const WHEN_RETRIEVED: Millis = Millis::MAX;

/// How much later than what was fetched a notification must have been sent to tell of another note, in milliseconds. A
/// sender's repeat of one request is not.
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
