//! Runs a command that prints a secret. No error contains anything that the command prints.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::text::read_text;

/// The time limit of a command.
const LIMIT: Duration = Duration::from_secs(10);

/// The output of the command, or an error that is worded to follow the command's name. Blocks.
pub(in crate::config) fn output(command: &[String]) -> Result<String, String> {
    output_within(command, LIMIT)
}

fn output_within(command: &[String], limit: Duration) -> Result<String, String> {
    let (program, arguments) = command.split_first().ok_or("is an empty list")?;
    let deadline = Instant::now() + limit;
    // Its stderr is discarded: a tool's error message may quote the secret.
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let stdout = child.stdout.take().ok_or("has no output")?;
    // Read in a separate thread: a process that the command has left behind may hold the pipe open for ever.
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(read_text(stdout)));
    let output = receiver.recv_timeout(limit);
    let status = wait_until(&mut child, deadline);
    match (output, status) {
        (Ok(Ok(text)), Some(status)) if status.success() => Ok(text),
        (_, Some(status)) if !status.success() => Err(format!("failed with {status}")),
        (Ok(Err(error)), Some(_)) => Err(format!("printed what cannot be read: {error}")),
        _ => Err(format!("did not end within {limit:?}")),
    }
}

/// The exit status of the child. At the deadline the child is killed, and the result is `None`.
fn wait_until(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    const STEP: Duration = Duration::from_millis(5);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(STEP),
            _ => {
                // The child may have just ended, in which case the kill fails.
                child.kill().ok();
                child.wait().ok();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn what_a_command_prints_is_returned() {
        assert_eq!(output(&shell("echo token")), Ok("token\n".to_owned()));
    }

    #[test]
    fn a_failing_command_is_an_error_without_its_words() {
        let error =
            output(&shell("echo hunter2; echo hunter2 >&2; exit 3")).expect_err("no success");
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_command_that_hangs_is_killed_at_the_limit() {
        let start = Instant::now();
        let error = output_within(&shell("exec sleep 60"), Duration::from_millis(50))
            .expect_err("no success");
        assert!(error.contains("did not end within 50ms"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_missing_command_is_an_error() {
        let error = output(&["/no/such/program".to_owned()]).expect_err("no success");
        assert!(error.contains("cannot be started"), "{error}");
    }
}
