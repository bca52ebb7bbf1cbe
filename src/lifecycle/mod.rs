//! Starting, being ready and stopping: signals, the readiness that orchestrators ask for, and the order of shutting down.

mod readiness;
mod shutdown;
mod signals;

pub use readiness::{Part, Readiness, Report};
pub use shutdown::Shutdown;
pub use signals::Signals;
