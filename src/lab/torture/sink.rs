//! What a sink got, as the proof looks at it.

use super::deliveries::Deliveries;

/// A sink, and what came out there.
pub(super) struct Sink {
    pub(super) name: &'static str,
    pub(super) got: Deliveries,
    /// Whether it shows that an event came again: in a folder the second file takes the first one's place.
    pub(super) is_counted: bool,
}
