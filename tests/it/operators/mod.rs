//! What an operator does: restoring, rotating, purging, looking around from the shell. The real binary, as it is run.

mod alerts;
mod canary;
mod configuration;
mod console;
mod content;
mod deployment;
mod door;
mod metrics;
mod notes;
mod pauses;
mod reload;
mod replays;
mod restore;
mod shell;
mod stream;
mod traces;

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::EXE;

/// What a command printed, and its exit code.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A command on the embedded store in `dir`, with no signing secret at hand.
pub fn run(dir: &Path, args: &[&str]) -> Ran {
    run_with(dir, args, &[])
}

/// The same with further variables.
pub fn run_with(dir: &Path, args: &[&str], more: &[(&str, &str)]) -> Ran {
    let url = format!("sqlite:{}", dir.join("data/receiver.db").display());
    let done = Command::new(EXE)
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SUKI_RECEIVER__STORE__URL", url)
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}
