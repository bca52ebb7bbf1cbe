//! A request whose body is still coming, for its line in the log and its count when it never gets to its end.

use super::State;
use super::arrival::Arrival;
use super::rejection::Rejection;

/// A request whose body is still coming. When it is dropped before that has ended, the sender has given the request up,
/// and that is logged and counted.
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

    /// All has come that will come.
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
