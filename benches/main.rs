//! Benchmarks of the service from outside: the released binary, its environment, its ports.
//!
//! `benches/run.sh` runs them. Each file here is one benchmark or one thing that several need. None asserts a time.

mod accept;
mod backlog;
mod client;
mod expected;
mod fill;
mod fill_postgres;
mod helpers;
mod instructions;
mod latency;
mod messages;
mod pages;
mod peers;
mod pipeline;
mod postgres;
mod process;
mod receiver;
mod stage;
mod start;
mod table;
mod takeover;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tempfile::TempDir;

use receiver::Settings;
use table::Table;

// As in the service, so that what is compared with it has the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the service and prints one table
#[derive(Debug, Parser)]
#[command(name = "benches/run.sh", version)]
struct Args {
    /// Which benchmarks [default: all]
    names: Vec<Name>,
    /// Shorter runs and smaller stores
    #[arg(long)]
    quick: bool,
    /// How often each is measured [default: 5, or 2 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// accept: also measure handlers in other frameworks
    #[arg(long)]
    peers: bool,
    /// takeover: how long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    takeover_limit: u64,
    /// How long any other wait for deliveries may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    limit: u64,
    /// A further setting of the receivers, such as SDP__MAX_CONCURRENCY=64
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// instructions: fail where more are taken than was recorded
    #[arg(long)]
    check: bool,
    /// instructions: record what is measured
    #[arg(long)]
    record: bool,
    /// Where stores are put; the disk is part of what is measured
    #[arg(long, value_name = "DIR", default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,
    /// A PostgreSQL server on which databases may be made
    #[arg(
        long,
        value_name = "URL",
        default_value = "postgres://postgres@127.0.0.1:5432/postgres"
    )]
    postgres: String,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Be a server for another run of this
    #[arg(long, hide = true, requires = "at")]
    serve: Option<helpers::Kind>,
    #[arg(long, hide = true)]
    at: Option<SocketAddr>,
}

/// What the names of all folders begin with; the id of the process that made one follows.
const FOLDERS: &str = "suki-bench-";

/// A benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Answers a second beside a bare handler, over 1 and 64 connections
    Accept,
    /// Latency at 5,000 notifications a second
    Steady,
    /// Answers a second into a store with millions of rows
    Rows,
    /// Events a second from notification to delivery, beside a plain client
    Pipeline,
    /// From notification to delivery while little comes
    Latency,
    /// Events a second after an outage of the API
    Backlog,
    /// Start to ready, and memory
    Start,
    /// From the death of one of two instances until all is delivered
    Takeover,
    /// Many expected sessions: registering, asking, memory, time to the alarm
    Expected,
    /// The console's pages over millions of events
    Pages,
    /// Instructions for one accept and for one event, by valgrind
    Instructions,
}

/// What every benchmark is given.
struct Bench {
    quick: bool,
    rounds: usize,
    limit: Duration,
    takeover_limit: Duration,
    dir: PathBuf,
    postgres: String,
    /// Where they are installed, if they are wanted.
    peers: Option<PathBuf>,
    settings: Vec<(String, String)>,
    figures: instructions::Figures,
    table: Table,
}

impl Bench {
    /// How long something is measured that takes `whole` seconds when there is time.
    fn seconds(&self, whole: f64) -> f64 {
        if self.quick { whole / 4.0 } else { whole }
    }

    /// A new folder, removed when it is dropped.
    fn folder(&self) -> anyhow::Result<TempDir> {
        let prefix = format!("{FOLDERS}{}-", std::process::id());
        Ok(tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&self.dir)?)
    }

    /// Settings of a receiver in this folder.
    fn settings(&self, dir: &Path) -> Settings {
        Settings::new(dir, &self.settings)
    }

    async fn run(&mut self, name: Name) -> anyhow::Result<()> {
        match name {
            Name::Accept => accept::run(self).await,
            Name::Steady => accept::steady(self).await,
            Name::Rows => accept::rows(self).await,
            Name::Pipeline => pipeline::run(self).await,
            Name::Latency => latency::run(self).await,
            Name::Backlog => backlog::run(self).await,
            Name::Start => start::run(self).await,
            Name::Takeover => takeover::run(self).await,
            Name::Expected => expected::run(self).await,
            Name::Pages => pages::run(self).await,
            Name::Instructions => instructions::run(self).await,
        }
    }
}

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs this as well, without saying so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    if let (Some(kind), Some(at)) = (args.serve, args.at) {
        return runtime.block_on(helpers::serve(kind, at));
    }
    let names = match args.names.as_slice() {
        [] => Name::value_variants(),
        names => names,
    };
    let rounds = args
        .rounds
        .map_or(if args.quick { 2 } else { 5 }, usize::from);
    std::fs::create_dir_all(&args.dir)?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers");
    let mut bench = Bench {
        quick: args.quick,
        rounds,
        limit: Duration::from_secs(args.limit),
        takeover_limit: Duration::from_secs(args.takeover_limit),
        dir: args.dir.canonicalize()?,
        postgres: args.postgres,
        peers: args.peers.then_some(target),
        settings: args.settings,
        figures: instructions::Figures {
            check: args.check,
            record: args.record,
        },
        table: Table::new(rounds, args.quick),
    };
    let ended = runtime.block_on(async {
        tidy(&bench.dir)?;
        postgres::tidy(&bench.postgres).await?;
        for name in names {
            eprintln!("== {name:?}");
            // Where it is interrupted, what it has started ends as it does when it is over.
            tokio::select! {
                ended = bench.run(*name) => ended?,
                _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            }
        }
        Ok(())
    });
    print!("{}", bench.table);
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_vec_pretty(&bench.table)?)?;
    }
    ended
}

/// Removes the folders of earlier runs that were killed.
fn tidy(dir: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_prefix(FOLDERS)?.split('-').next());
        if id.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
