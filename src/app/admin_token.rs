//! The admin token that is generated at the start when none is configured. It is kept in the data folder with mode
//! 0600, and its path is logged.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::{AdminToken, Config, Role, Secret};
use crate::journal;

/// The configured tokens, or the generated one when none is configured.
pub(super) fn all(config: &Config) -> anyhow::Result<Vec<AdminToken>> {
    if !config.admin.tokens.is_empty() {
        return Ok(config.admin.tokens.clone());
    }
    let path = file(config);
    let token = read_or_make(&path)
        .with_context(|| format!("cannot keep an admin token in {}", path.display()))?;
    tracing::info!(path = %path.display(), "no admin.tokens configured; the operator's token is in this file");
    Ok(vec![AdminToken {
        sink: None,
        name: "local".to_owned(),
        role: Role::Operator,
        secret: Secret::literal(token),
    }])
}

/// The file of the generated token.
pub(super) fn file(config: &Config) -> PathBuf {
    config.store.folder().join("admin-token")
}

fn read_or_make(path: &Path) -> std::io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = hex::encode(rand::random::<[u8; 32]>());
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    journal::adopt(path)?;
    Ok(token)
}
