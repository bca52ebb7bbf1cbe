//! The deliveries at a sink, as the proof uses them.

use super::deliveries::Deliveries;

/// A sink with its deliveries.
pub(super) struct Sink {
    pub(super) name: &'static str,
    pub(super) got: Deliveries,
    /// Whether repeated deliveries can be counted. In a folder they cannot: the second file replaces the first.
    pub(super) is_counted: bool,
}
