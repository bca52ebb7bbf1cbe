//! The laboratory: simulates the vendor, the partner and faults. Readers of the service's code can skip it.
//!
//! The service does not import it; the commands `demo`, `send`, `simulate` and `torture`, the tests and the benchmarks
//! do.

pub(crate) mod demo;
pub mod simulator;
pub(crate) mod torture;
