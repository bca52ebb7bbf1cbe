//! The whole job: from the first notification sent to the last result delivered, beside a plain client that makes the
//! same calls.

use std::path::Path;
use std::time::Duration;

use super::helpers::wall;
use super::messages::Messages;
use super::stage::{Empty, Others, Store, arrived, delivered};
use super::table::{Row, Series};
use super::{Bench, client};

/// Over how many connections notifications come.
const CONNECTIONS: usize = 16;
/// How many sessions the plain client does at a time; the better counts.
const AT_ONCE: [usize; 2] = [16, 64];

/// How often the plain client does each session in a round.
const PLAIN_REPEATS: u64 = 4;

/// Events before those that are timed: connections are opened, and caches and the log get their size.
const WARM_UP: u64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    Http,
    Files,
}

#[derive(Default)]
struct Measured {
    throughput: Series,
    /// Microseconds of CPU for each event.
    cpu: Series,
    database_cpu: Series,
}

/// Events a second, by store and sink.
pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let count = if bench.quick { 3_000 } else { 10_000 };
    let messages = Messages::new(WARM_UP + count, 3);
    let others = Others::start(bench).await?;
    let cases = Store::BOTH.map(|store| [(store, Sink::Http), (store, Sink::Files)]);
    let cases = cases.as_flattened();
    // Removed only at the end: without a journal, ext4 searches long for the inode of a new file while many were freed in
    // the last minutes.
    let delivered = bench.folder()?;
    let mut bare = Measured::default();
    let mut all: Vec<_> = cases.iter().map(|_| Measured::default()).collect();
    for round in 0..bench.rounds {
        plain(&others, &messages, &mut bare).await?;
        for ((store, sink), measured) in cases.iter().zip(&mut all) {
            let out = delivered.path().join(format!("{} {round}", store.name()));
            turn(bench, &others, &messages, (*store, *sink, &out), measured).await?;
        }
    }
    let row = Row::new("pipeline, plain client", "events/s", &bare.throughput);
    bench.table.push(row.more("CPU µs an event", &bare.cpu));
    for ((store, sink), measured) in cases.iter().zip(&all) {
        let sink = match sink {
            Sink::Http => "http",
            Sink::Files => "files",
        };
        let what = format!("pipeline, {}, {sink} sink", store.name());
        let ratios = measured.throughput.over(&bare.throughput);
        let row = Row::new(what, "events/s", &measured.throughput)
            .ratio("plain client", &ratios)
            .more("CPU µs an event", &measured.cpu);
        bench.table.push(match store {
            Store::Embedded => row,
            Store::Postgres => row.more("of PostgreSQL", &measured.database_cpu),
        });
    }
    Ok(())
}

async fn plain(
    others: &Others,
    messages: &Messages,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    // It is so much faster that it needs more to be timed by. It keeps nothing, so it may do a session again.
    let count = PLAIN_REPEATS * messages.count();
    let mut best: Option<client::Done> = None;
    for at_once in AT_ONCE {
        others.sink.reset().await?;
        let done = client::run(&others.api.url, &others.sink.url, messages, count, at_once).await?;
        // What it is compared with must have done the whole job.
        let (came, _) = others.sink.count().await?;
        anyhow::ensure!(
            came == messages.count(),
            "the plain client has delivered {came} sessions"
        );
        if best.as_ref().is_none_or(|best| done.took < best.took) {
            best = Some(done);
        }
    }
    if let Some(done) = best {
        measured
            .throughput
            .push(count as f64 / done.took.as_secs_f64());
        measured
            .cpu
            .push(done.cpu.as_secs_f64() * 1e6 / count as f64);
    }
    Ok(())
}

async fn turn(
    bench: &Bench,
    others: &Others,
    messages: &Messages,
    (store, sink, out): (Store, Sink, &Path),
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let empty = Empty::new(bench, store).await?;
    let settings = empty.settings.clone().api(&others.api.url);
    let settings = match sink {
        Sink::Http => settings.http_sink(&others.sink.url),
        Sink::Files => settings.files_sink(out),
    };
    others.sink.reset().await?;
    let receiver = settings.start().await?;
    let database_cpu = || {
        empty
            .database
            .as_ref()
            .and_then(super::postgres::Database::cpu)
    };
    let done = async |count| {
        let limit = bench.limit;
        match sink {
            Sink::Http => arrived(&others.sink, count, limit).await?.map_err(|came| {
                anyhow::anyhow!("only {came} of {count} were delivered within {limit:?}")
            }),
            Sink::Files => delivered(&receiver, count, limit).await,
        }
    };
    messages
        .send(&receiver.webhook, WARM_UP, CONNECTIONS, 0.0)
        .await?;
    done(WARM_UP).await?;
    let (cpu, of_database) = (receiver.process.cpu()?, database_cpu());
    let start = wall();
    let count = messages.count() - WARM_UP;
    messages
        .after(WARM_UP)
        .send(&receiver.webhook, count, CONNECTIONS, 0.0)
        .await?;
    let end = done(messages.count()).await?;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / count as f64;
    measured
        .throughput
        .push(count as f64 / end.saturating_sub(start).as_secs_f64());
    measured
        .cpu
        .push(each(receiver.process.cpu()?.saturating_sub(cpu)));
    if let (Some(before), Some(after)) = (of_database, database_cpu()) {
        measured
            .database_cpu
            .push(each(after.saturating_sub(before)));
    }
    Ok(())
}
