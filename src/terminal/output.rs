//! The output of commands. Results go to standard output, everything else to stderr. A command never fails because
//! nobody reads its output any more: that is normal when it is piped into `head`.
//!
//! `println!` and similar macros would panic then, so they are not used.

use std::fmt::Arguments;
use std::io::Write;

use anyhow::Context;

use super::ExitStatus;
pub(crate) use crate::app::chain;

/// Writes a result to standard output; `false` once nobody reads it any more, as with `| head`.
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

/// Writes a line to stderr. A failure is ignored, since it could not be reported either.
pub(crate) fn to_stderr(line: Arguments<'_>) {
    let mut out = std::io::stderr().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// Writes a line to stderr: `note!("{count} events")`.
macro_rules! note {
    ($($text:tt)*) => { $crate::terminal::to_stderr(format_args!($($text)*)) };
}
pub(crate) use note;
