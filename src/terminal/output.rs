//! What commands print. Results go to standard output, everything else to stderr, and neither ever fails a command for
//! want of a reader: behind `| head` there is none at some time, and that is no error.
//!
//! `println!` and its like panic then, so nothing here uses them.

use std::fmt::Arguments;
use std::io::Write;

use anyhow::Context;

use super::ExitStatus;
pub(crate) use crate::app::chain;

/// Writes a result to standard output; `false` once nobody reads it any more, as behind `| head`.
pub(crate) fn emit(bytes: &[u8]) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Writes a value as indented JSON.
pub(crate) fn emit_json(value: &impl serde::Serialize) -> anyhow::Result<ExitStatus> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    emit(&text)?;
    Ok(ExitStatus::Success)
}

/// Writes a line to stderr. Where that cannot be written there is nobody to be told.
pub(crate) fn to_stderr(line: Arguments<'_>) {
    let mut out = std::io::stderr().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// Writes a line to stderr: `note!("{count} events")`.
macro_rules! note {
    ($($text:tt)*) => { $crate::terminal::to_stderr(format_args!($($text)*)) };
}
pub(crate) use note;
