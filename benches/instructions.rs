//! How many instructions one accept and one event take: a figure that a busy machine does not change.
//!
//! The binary runs under callgrind, once with few notifications and once with more. The difference, divided by how many
//! more there were, leaves the start and the end out. Under valgrind SHA-256 has no instructions of its own, so hashing
//! weighs more here than it does in service. One at a time, so that nothing depends on what comes together.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::Bench;
use super::messages::Messages;
use super::receiver::PATIENCE;
use super::stage::{Empty, Others, Store, arrived};
use super::table::{Row, Series};

/// What was recorded.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.toml");
const HEAD: &str = "# Instructions, as `benches/run.sh instructions --record` has measured them, by how the code was compiled. They\n\
                    # depend on the compiler and on valgrind.\n";
/// By how much a figure may be above what was recorded.
const TOLERANCE: f64 = 0.10;
/// How the code was compiled. What takes more instructions without optimisation takes more with it, as a rule, and the
/// build without it is there once the tests have run.
const COMPILED: &str = if cfg!(debug_assertions) {
    "unoptimised"
} else {
    "optimised"
};

/// What is done with the figures.
pub(crate) struct Figures {
    pub(crate) check: bool,
    pub(crate) record: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Recorded {
    accept: u64,
    pipeline: u64,
}

/// How many notifications the two runs have.
#[derive(Clone, Copy)]
struct Runs {
    few: u64,
    many: u64,
}

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !has_valgrind() {
        anyhow::ensure!(!bench.figures.check, "there is no valgrind to check by");
        let row = Row::without_figure("instructions", "each");
        bench
            .table
            .push(row.note("skipped: valgrind is not installed"));
        return Ok(());
    }
    let runs = |few, many| Runs { few, many };
    let (accept, pipeline) = if cfg!(debug_assertions) {
        (runs(50, 350), runs(10, 60))
    } else {
        (runs(200, 2_200), runs(30, 330))
    };
    let measured = Recorded {
        accept: measured(bench, "accept", accept).await?,
        pipeline: measured(bench, "pipeline", pipeline).await?,
    };
    if bench.figures.record {
        let mut all = recorded().unwrap_or_default();
        all.insert(COMPILED.to_owned(), measured);
        std::fs::write(FILE, format!("{HEAD}{}", toml::to_string(&all)?))?;
    }
    if bench.figures.check {
        let before = *recorded()?.get(COMPILED).context("nothing is recorded")?;
        for (what, now, before) in [
            ("accept", measured.accept, before.accept),
            ("pipeline", measured.pipeline, before.pipeline),
        ] {
            let limit = before as f64 * (1.0 + TOLERANCE);
            if now as f64 > limit {
                bail!(
                    "{what} takes {now} instructions; {before} were recorded, and at most {limit:.0} are allowed"
                );
            }
        }
    }
    Ok(())
}

fn recorded() -> anyhow::Result<BTreeMap<String, Recorded>> {
    let text = std::fs::read_to_string(FILE).context(FILE)?;
    Ok(toml::from_str(&text)?)
}

async fn measured(
    bench: &mut Bench,
    what: &'static str,
    Runs { few, many }: Runs,
) -> anyhow::Result<u64> {
    let less = total(bench, what, few).await?;
    let more = total(bench, what, many).await?;
    let each = more.saturating_sub(less) / (many - few);
    let figures = Series::from_iter([each as f64]);
    bench
        .table
        .push(Row::new(format!("instructions, {what}"), "each", &figures));
    Ok(each)
}

/// All that a whole run takes.
async fn total(bench: &Bench, what: &str, count: u64) -> anyhow::Result<u64> {
    let empty = Empty::new(bench, Store::Embedded).await?;
    let dir = bench.folder()?;
    let out = dir.path().join("callgrind.out");
    let command = [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", out.display()),
    ];
    let messages = Messages::new(count, 7);
    if what == "accept" {
        let receiver = empty.settings.start_under(&command).await?;
        messages.send(&receiver.webhook, count, 1, 0.0).await?;
        receiver.process.stop(PATIENCE).await?;
    } else {
        let others = Others::start(bench).await?;
        let settings = empty
            .settings
            .clone()
            .api(&others.api.url)
            .http_sink(&others.sink.url);
        let receiver = settings.start_under(&command).await?;
        for number in 0..count {
            messages
                .after(number)
                .send(&receiver.webhook, 1, 1, 0.0)
                .await?;
            let came = arrived(&others.sink, number + 1, PATIENCE).await?;
            came.map_err(|_| anyhow::anyhow!("an event is not delivered in time"))?;
        }
        receiver.process.stop(PATIENCE).await?;
    }
    summary(&out)
}

/// Whether valgrind is there, after it has been installed where that can be done.
fn has_valgrind() -> bool {
    let runs = |line: &[&str]| {
        let mut command = Command::new(line[0]);
        // Standard output is for the table.
        let command = command
            .args(&line[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let is_there = || runs(&["valgrind", "--version"]);
    let install = || {
        runs(&["apt-get", "update"])
            && runs(&[
                "apt-get",
                "install",
                "--yes",
                "--no-install-recommends",
                "valgrind",
            ])
    };
    is_there() || (rustix::process::geteuid().is_root() && install() && is_there())
}

fn summary(out: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(out).context("valgrind has left no figures")?;
    let lines = text.lines().filter_map(|line| {
        line.strip_prefix("totals:")
            .or_else(|| line.strip_prefix("summary:"))
    });
    let total = lines.filter_map(|value| value.trim().parse().ok()).max();
    total.context("valgrind has left no figures")
}
