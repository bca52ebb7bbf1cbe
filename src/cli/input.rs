//! The input of commands: a body from a file or standard input, a secret from a file, an answer from a person.

use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;

use anyhow::Context;

use crate::config::Secret;
use crate::terminal::note;

/// The body in a file; `-` or nothing means standard input.
pub(super) fn body(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            body = std::fs::read(file)
                .with_context(|| format!("cannot read the body from {}", file.display()))?;
        }
        None => {
            std::io::stdin()
                .read_to_end(&mut body)
                .context("cannot read the body from standard input")?;
        }
    }
    Ok(body)
}

/// The secret in a file, read as the service reads it.
pub(super) fn secret(file: &Path) -> anyhow::Result<Vec<u8>> {
    let secret = Secret::read_file(file.to_owned())?;
    Ok(secret.expose().as_bytes().to_vec())
}

/// Asks a person for confirmation. Without a terminal nobody is asked, and the answer is yes, since a script cannot
/// answer.
pub(super) fn agrees(question: &str) -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return true;
    }
    note!("{question} [y/N]");
    let mut answer = String::new();
    // An answer that cannot be read counts as no.
    std::io::stdin().lock().read_line(&mut answer).ok();
    matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")
}
