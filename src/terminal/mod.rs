//! Output to a terminal: results, remarks, progress and tables. This folder makes no decisions.

mod output;
mod progress;
mod table;

pub(crate) use output::{chain, emit, emit_json, note, to_stderr};
pub(crate) use progress::{Progress, TICK};
pub(crate) use table::Table;

/// How a command ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// The command did what was asked.
    Success,
    /// The command ran, and its answer is no.
    Failure,
}
