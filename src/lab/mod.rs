//! The laboratory: what plays the vendor, the partner and the ill luck. Who reads the service can leave it aside.
//!
//! Nothing of the service imports it; the commands `demo`, `send`, `simulate` and `torture` do, and tests and benchmarks.

pub(crate) mod demo;
pub mod simulator;
pub(crate) mod torture;
