//! Starting, being ready and stopping: signals, the readiness that orchestrators ask for, and the order of shutting down.

mod alerts;
mod readiness;
mod run_to_end;
mod signals;
mod task_group;

pub use alerts::{Alert, AlertChange, AlertStatus, Alerts};
pub use readiness::{Component, Readiness, Report};
pub use run_to_end::RunToEnd;
pub use signals::Signals;
pub use task_group::TaskGroup;
