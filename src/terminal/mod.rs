//! What is written to a terminal: results, remarks, progress and tables. Decides nothing.

mod output;
mod progress;
mod table;

pub(crate) use output::{chain, emit, emit_json, note, to_stderr};
pub(crate) use progress::{Progress, TICK};
pub(crate) use table::Table;

/// How a command ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// It did what was asked.
    Success,
    /// It ran, and the answer is no.
    Failure,
}
