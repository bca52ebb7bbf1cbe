//! A start: how long until it is ready with much to do, and what it has in memory.

use std::time::{Duration, Instant};

use suki_receiver::lab::simulator::own_address;

use super::table::{Row, Series};
use super::{Bench, fill};

/// How long it runs until its memory is looked at.
const SETTLES: Duration = Duration::from_secs(3);

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let count = if bench.quick { 50_000 } else { 1_000_000 };
    for count in [0, count] {
        let dir = bench.folder()?;
        // An API that is down: all that waits goes on waiting.
        let api = format!("http://{}/", own_address()?).parse()?;
        let settings = bench.settings(dir.path());
        if count > 0 {
            fill::pending(&settings, count).await?;
        }
        let settings = settings.api(&api).files_sink(&dir.path().join("out"));
        let [mut took, mut now, mut peak] =
            [Series::default(), Series::default(), Series::default()];
        for _ in 0..bench.rounds {
            let start = Instant::now();
            let receiver = settings.start().await?;
            took.push(start.elapsed().as_secs_f64() * 1000.0);
            tokio::time::sleep(SETTLES).await;
            let memory = receiver.process.memory()?;
            now.push(memory.now);
            peak.push(memory.peak);
            receiver.process.stop(super::receiver::PATIENCE).await?;
        }
        let with = format!("embedded, {count} events pending");
        bench
            .table
            .push(Row::new(format!("start to ready, {with}"), "ms", &took));
        bench
            .table
            .push(Row::new(format!("memory, {with}"), "MiB", &now).more("peak", &peak));
    }
    Ok(())
}
