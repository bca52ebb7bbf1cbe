//! The commands, run as people run them: the real binary, its output and its exit code.

mod check;
mod demo;
mod first_deployment;
mod help;
mod packaging;
mod send;
mod sign;
mod simulate;
mod torture;

use std::process::{Command, Output, Stdio};

use crate::support::EXE;

/// What a command printed, and its exit code.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

/// The binary with these arguments, in an empty environment.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new(EXE);
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

/// Runs it to its end.
fn run(command: &mut Command) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    Ran {
        code: status.code().unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// The same, from where other tasks of the test have to go on.
async fn run_aside(mut command: Command) -> Ran {
    tokio::task::spawn_blocking(move || run(&mut command))
        .await
        .unwrap()
}
