//! What came while the API was down, and how fast it is worked off once the API is there.

use suki_receiver::lab::simulator::own_address;

use super::Bench;
use super::helpers::{self, Kind, wall};
use super::messages::Messages;
use super::stage::{Empty, Store, arrived};
use super::table::{Row, Series};

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let count = if bench.quick { 5_000 } else { 100_000 };
    let messages = Messages::new(count, 6);
    for store in Store::BOTH {
        let mut throughput = Series::default();
        let mut note = String::new();
        for _ in 0..bench.rounds {
            let empty = Empty::new(bench, store).await?;
            let dir = bench.folder()?;
            let address = own_address()?;
            let sink = helpers::start(dir.path(), Kind::Sink).await?;
            let api = format!("http://{address}/").parse()?;
            let receiver = empty
                .settings
                .clone()
                .api(&api)
                .http_sink(&sink.url)
                .start()
                .await?;
            messages.send(&receiver.webhook, count, 64, 0.0).await?;
            let _simulator = helpers::simulator(dir.path(), address, &[]).await?;
            let start = wall();
            // It has answered for a moment when this is known.
            let (early, _) = sink.count().await?;
            match arrived(&sink, count, bench.limit).await? {
                Ok(last) => throughput
                    .push((count - early) as f64 / last.saturating_sub(start).as_secs_f64()),
                Err(came) => {
                    throughput.push(came as f64 / bench.limit.as_secs_f64());
                    note = format!("only {came} within {} s", bench.limit.as_secs());
                }
            }
        }
        let what = format!(
            "backlog, {}, {count} events, from when the API is there",
            store.name()
        );
        bench
            .table
            .push(Row::new(what, "events/s", &throughput).note(note));
    }
    Ok(())
}
