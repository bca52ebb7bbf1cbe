//! Readiness, alerts, signals, and groups of tasks that stop together.

mod alerts;
mod readiness;
mod run_to_end;
mod signals;
mod task_group;

pub use alerts::{ActiveAlert, Alert, AlertChange, AlertStatus, Alerts};
pub use readiness::{Component, Readiness, Report};
pub use run_to_end::RunToEnd;
pub use signals::Signals;
pub use task_group::TaskGroup;
