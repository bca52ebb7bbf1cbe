//! The demo's summary: what was sent, the results, the balance, and where the files are.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::balance::Check;
use super::facts::Facts;
use super::play::Played;
use super::sample;
use super::stage::{FILES, HTTP, Stage};
use crate::domain::{ExpectedState, LinkState};
use crate::lab::simulator::Kind;
use crate::terminal::Table;

/// The number of lines of a delivered file that are shown.
const SAMPLE_LINES: usize = 25;

/// The summary.
pub(super) fn text(
    stage: &Stage,
    played: &Played,
    facts: &Facts,
    checks: &[Check],
    took: Duration,
) -> anyhow::Result<String> {
    let mut text = String::new();
    sent(&mut text, played)?;
    followed(&mut text, facts)?;
    expected(&mut text, facts)?;
    delivered(&mut text, facts)?;
    balance(&mut text, checks)?;
    files(&mut text, stage, facts)?;
    times(&mut text, played, facts, took)?;
    Ok(text)
}

fn sent(text: &mut String, played: &Played) -> anyhow::Result<()> {
    let mut table = Table::new(&["kind", "sent", "expected", "answered", ""]);
    for kind in Kind::ALL.into_iter().filter(|kind| played.sent(*kind) > 0) {
        let expected = kind.expect().label();
        let answers: Vec<_> = played
            .of(kind)
            .map(|(answer, count)| format!("{count} × {answer}"))
            .collect();
        let is_right = played.of(kind).all(|(answer, _)| answer == expected);
        table.row([
            kind.to_string(),
            played.sent(kind).to_string(),
            expected.to_owned(),
            answers.join(", "),
            mark(is_right).to_owned(),
        ]);
    }
    let all: Vec<_> = played
        .report
        .answers
        .iter()
        .map(|(answer, count)| format!("{count} × {answer}"))
        .collect();
    writeln!(text, "\nSent and answered\n{table}")?;
    writeln!(
        text,
        "  {} in all: {}",
        played.report.total(),
        all.join(", ")
    )?;
    Ok(())
}

fn followed(text: &mut String, facts: &Facts) -> anyhow::Result<()> {
    let mut table = Table::new(&["call", "made", "failed, made again"]);
    for (endpoint, count, failed) in &facts.calls {
        let failed = if *failed == 0 {
            String::new()
        } else {
            failed.to_string()
        };
        table.row([endpoint.to_string(), count.to_string(), failed]);
    }
    writeln!(text, "\nFollowed\n{table}")?;
    writeln!(
        text,
        "  links: {} fetched, {} missing, {} failed, {} pending",
        facts.links(LinkState::Fetched),
        facts.links(LinkState::Missing),
        facts.links(LinkState::Failed),
        facts.links(LinkState::Pending),
    )?;
    Ok(())
}

fn expected(text: &mut String, facts: &Facts) -> anyhow::Result<()> {
    let mut table = Table::new(&["expected session", "sessions", ""]);
    for (state, what) in [
        (ExpectedState::Met, "its notification came"),
        (
            ExpectedState::Recovered,
            "its notification was dropped; its end was found by asking",
        ),
        (
            ExpectedState::Late,
            "the same, and its notification came after all",
        ),
    ] {
        let count = facts.expected(state).to_string();
        table.row([state.to_string(), count, what.to_owned()]);
    }
    writeln!(text, "\nExpected\n{table}")?;
    Ok(())
}

fn delivered(text: &mut String, facts: &Facts) -> anyhow::Result<()> {
    let (files, http) = (format!("{FILES} (files)"), format!("{HTTP} (http)"));
    let mut table = Table::new(&["outcome", &files, &http]);
    for (outcome, by_sink) in &facts.delivered {
        let count = |sink| by_sink.get(sink).copied().unwrap_or(0).to_string();
        table.row([outcome.to_string(), count(FILES), count(HTTP)]);
    }
    writeln!(text, "\nDelivered\n{table}")?;
    if facts.got.again > 0 {
        writeln!(text, "  {} came to {HTTP} more than once", facts.got.again)?;
    }
    Ok(())
}

fn balance(text: &mut String, checks: &[Check]) -> anyhow::Result<()> {
    writeln!(text, "\nBalance")?;
    for check in checks {
        writeln!(text, "  {} {}", mark(check.holds), check.text)?;
    }
    Ok(())
}

fn files(text: &mut String, stage: &Stage, facts: &Facts) -> anyhow::Result<()> {
    writeln!(text, "\nFiles")?;
    writeln!(text, "  {}", stage.out().display())?;
    writeln!(
        text,
        "  They stay there; remove {} when done.",
        stage.dir.display()
    )?;
    let Some(file) = &facts.sample else {
        return Ok(());
    };
    let json =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.strip_prefix(stage.out()).unwrap_or(file);
    writeln!(
        text,
        "\n  {}, in part (the patient is made up):",
        name.display()
    )?;
    for line in sample::in_part(&json, SAMPLE_LINES)?.lines() {
        writeln!(text, "    {line}")?;
    }
    Ok(())
}

fn times(text: &mut String, played: &Played, facts: &Facts, took: Duration) -> anyhow::Result<()> {
    writeln!(text, "\nTime")?;
    writeln!(text, "  {:.2} s in all", took.as_secs_f64())?;
    let (p50, p99) = (played.report.latency(0.5), played.report.latency(0.99));
    writeln!(text, "  answers: p50 {}, p99 {}", millis(p50), millis(p99))?;
    if let Some(median) = facts.median_to_file {
        writeln!(text, "  from notification to file: p50 {}", millis(median))?;
    }
    Ok(())
}

/// The text about what to look at while the demo is left running.
pub(super) fn kept(stage: &Stage) -> String {
    let (webhook, secret_file) = (&stage.webhook, stage.secret_file());
    let (config, token) = (stage.config_file(), stage.token_file());
    let api = format!("http://{}/api/v1/", stage.admin);
    let mut table = Table::plain();
    // A browser does not send the part after the #.
    let sign_in = std::fs::read_to_string(&token).map(|token| format!("#{}", token.trim()));
    let console = format!(
        "http://{}/sign-in{}",
        stage.admin,
        sign_in.unwrap_or_default()
    );
    for (name, value) in [
        ("console", console),
        ("admin API", api.clone()),
        ("its token", token.display().to_string()),
        ("metrics", format!("http://{}/metrics", stage.admin)),
        ("webhook", webhook.to_string()),
        ("secret", stage.secret.clone()),
        ("secret file", secret_file.display().to_string()),
        ("configuration", config.display().to_string()),
    ] {
        table.row([name.to_owned(), value]);
    }
    let (config, secret_file, token) = (config.display(), secret_file.display(), token.display());
    format!(
        "\nStill running\n{table}{}\n\
         \n  See what there is:\
         \n    suki-receiver events list --config {config}\
         \n    curl -H \"Authorization: Bearer $(cat {token})\" {api}stats\
         \n\n  Send more:\
         \n    suki-receiver send --url {webhook} --secret-file {secret_file}\
         \n\n  Ctrl-C ends it.\n",
        where_it_is().unwrap_or_default()
    )
}

/// The command that makes the printed lines work, if the shell does not find this program by its name alone.
fn where_it_is() -> Option<String> {
    let called = std::env::args_os().next()?;
    let folder = Path::new(&called).parent()?;
    if folder.as_os_str().is_empty() {
        return None;
    }
    let folder = folder.canonicalize().ok()?;
    Some(format!(
        "\n  First, so that the shell finds this program:\
         \n    export PATH='{}':\"$PATH\"\n",
        folder.display()
    ))
}

fn mark(holds: bool) -> &'static str {
    if holds { "✓" } else { "✗" }
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
