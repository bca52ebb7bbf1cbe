//! The demo: it balances, it says so, and it ends when it is told to.

use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{command, run, run_aside};
use crate::support::{PATIENCE, eventually, files_below, http};

/// The number in front of these words.
fn number(text: &str, before: &str) -> u64 {
    let start = &text[..text
        .find(before)
        .unwrap_or_else(|| panic!("no «{before}» in {text}"))];
    start.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_demo_of_thirty_events_balances_and_leaves_its_files() {
    let temp = tempfile::tempdir().unwrap();
    let ran = run(command(&["demo", "--events", "30"]).env("TMPDIR", temp.path()));
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(!ran.stdout.contains('✗'), "{}", ran.stdout);
    assert!(ran.stderr.contains("sent 27 of 27"), "{}", ran.stderr);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'));
    for kind in [
        "success",
        "timeout",
        "duplicate",
        "bad-signature",
        "malformed",
    ] {
        assert!(ran.stdout.contains(kind), "no {kind} in {}", ran.stdout);
    }

    let accepted = number(&ran.stdout, " accepted + ");
    let recovered = number(&ran.stdout, " recovered = ");
    assert_eq!(recovered, 3, "{}", ran.stdout);
    let taken = number(&ran.stdout, " taken by the endpoint");
    assert_eq!(taken, accepted + recovered);
    let others = [" × 200 duplicate, ", " × 400, "].map(|label| number(&ran.stdout, label));
    let refused = ran
        .stdout
        .lines()
        .find(|line| line.contains(" in all: "))
        .unwrap();
    let refused: u64 = refused
        .rsplit(", ")
        .next()
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(accepted + others.iter().sum::<u64>() + refused, 27);

    let folder = ran
        .stdout
        .lines()
        .find(|line| line.ends_with("/delivered"))
        .unwrap()
        .trim();
    let files = files_below(Path::new(folder));
    assert_eq!(files.len() as u64, taken);
    for file in files {
        let event: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(event["specversion"], "1.0");
    }
}

#[test]
fn a_demo_of_one_event_balances() {
    let temp = tempfile::tempdir().unwrap();
    let ran = run(command(&["demo", "--events", "1"]).env("TMPDIR", temp.path()));
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn a_port_in_use_is_said_and_exits_1() {
    let temp = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = run(command(&["demo", "--port", &port]).env("TMPDIR", temp.path()));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(&port), "{}", ran.stderr);
}

/// A demo under way; killed when the test fails.
struct Running(Child);

impl Running {
    fn interrupt(&self) {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGINT).unwrap();
    }

    async fn code(&mut self) -> i32 {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(std::time::Instant::now() < deadline, "it does not end");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(args: &[&str], dir: &Path) -> Running {
    let file = |name: &str| std::fs::File::create(dir.join(name)).unwrap();
    let child = command(args)
        .env("TMPDIR", dir)
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Running(child)
}

fn printed(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

/// What stands behind a word at the start of a line.
fn value(text: &str, name: &str) -> String {
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.trim_start()[name.len()..].trim().to_owned()
}

#[tokio::test]
async fn a_kept_demo_answers_what_it_prints_and_ends_at_ctrl_c() {
    let temp = tempfile::tempdir().unwrap();
    let mut running = start(&["demo", "--events", "3", "--keep"], temp.path());
    eventually("it says that it is still running", || async {
        printed(temp.path(), "stdout").contains("Ctrl-C ends it")
    })
    .await;
    let shown = printed(temp.path(), "stdout");
    let token = std::fs::read_to_string(value(&shown, "its token")).unwrap();
    let stats = format!("{}stats", value(&shown, "admin API"));
    let answer = http()
        .get(stats)
        .bearer_auth(token.trim())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);

    let (url, secret) = (value(&shown, "webhook"), value(&shown, "secret file"));
    assert_eq!(
        std::fs::read_to_string(&secret).unwrap().trim(),
        value(&shown, "secret ")
    );
    let sent = run_aside(command(&["send", "--url", &url, "--secret-file", &secret])).await;
    assert_eq!(sent.code, 0, "{}", sent.stderr);

    // The lines as they are printed, by a shell, behind the one that lets it find the program.
    let printed_line = |start: &str| {
        let line = shown.lines().find(|line| line.trim().starts_with(start));
        line.unwrap_or_else(|| panic!("no {start} in {shown}"))
            .trim()
    };
    let as_printed =
        |start: &str| format!("{}; {}", printed_line("export PATH="), printed_line(start));
    let config = value(&shown, "configuration");
    for line in [
        as_printed("suki-receiver send"),
        as_printed("suki-receiver events list"),
        as_printed("curl"),
        format!("{} check --config {config}", crate::support::EXE),
    ] {
        let ran = run_aside({
            let mut shell = std::process::Command::new("bash");
            shell.args(["-c", &line]).stdin(Stdio::null());
            shell
        });
        let ran = ran.await;
        assert_eq!(ran.code, 0, "{line}: {}", ran.stderr);
        assert!(!ran.stdout.is_empty(), "{line}");
    }
    eventually("what was sent by hand is done", || async {
        let args = ["events", "list", "--config", &config, "--json"];
        let listed = run_aside(command(&args)).await;
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        // The newest first, and two were sent by hand.
        (0..2).all(|n| listed["events"][n]["state"] == "done")
    })
    .await;

    running.interrupt();
    assert_eq!(
        running.code().await,
        0,
        "{}",
        printed(temp.path(), "stderr")
    );
}

#[tokio::test]
async fn ctrl_c_ends_a_demo_under_way() {
    let temp = tempfile::tempdir().unwrap();
    let mut running = start(&["demo", "--events", "10000"], temp.path());
    eventually("it has begun", || async {
        printed(temp.path(), "stderr").contains("signed notifications to")
    })
    .await;
    running.interrupt();
    assert_eq!(running.code().await, 1);
    assert!(printed(temp.path(), "stderr").contains("SIGINT: stopped before the end"));
}
