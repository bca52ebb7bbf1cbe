//! Logs and counts a request whose body never arrives in full.

use super::State;
use super::arrival::Arrival;
use super::rejection::Rejection;

/// A guard for a request whose body is still being received. Dropping it before [`Unfinished::finish`] means that the
/// sender disconnected, which is then logged and counted.
pub(super) struct Unfinished<'a> {
    state: &'a State,
    arrival: Option<Arrival>,
}

impl<'a> Unfinished<'a> {
    pub(super) fn new(state: &'a State, arrival: Arrival) -> Self {
        Self {
            state,
            arrival: Some(arrival),
        }
    }

    /// Ends the guard: reading of the body is over.
    pub(super) fn finish(mut self) -> Arrival {
        self.arrival.take().expect("only this takes it")
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(arrival) = self.arrival.take()
            && arrival.other_path.is_none()
        {
            Rejection::BrokenOff.report(self.state, &arrival);
        }
    }
}
