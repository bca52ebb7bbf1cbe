//! Results, to standard output. Everything else goes to stderr.

use std::io::Write;

use anyhow::Context;

use super::Done;

/// Writes a result to standard output; `false` once nobody reads it any more, as behind `| head`.
pub(super) fn emit(bytes: &[u8]) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Writes a value as indented JSON.
pub(super) fn emit_json(value: &impl serde::Serialize) -> anyhow::Result<Done> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    emit(&text)?;
    Ok(Done::Well)
}
