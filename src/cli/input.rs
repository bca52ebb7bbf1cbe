//! What commands read: a body from a file or standard input, a secret from a file.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};

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

/// The secret in a file, without the line end that editors add.
pub(super) fn secret(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut secret = std::fs::read(file)
        .with_context(|| format!("cannot read the secret from {}", file.display()))?;
    while secret
        .last()
        .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
    {
        secret.pop();
    }
    ensure!(
        !secret.is_empty(),
        "the secret file {} is empty",
        file.display()
    );
    Ok(secret)
}
