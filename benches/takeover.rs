//! One of two instances on one database is killed with much under way; how long until the other has delivered it all.

use super::Bench;
use super::helpers::wall;
use super::messages::Messages;
use super::stage::{Empty, Others, Store, arrived};
use super::table::{Row, Series};

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let count = if bench.quick { 1_000 } else { 5_000 };
    let messages = Messages::new(count, 5);
    let others = Others::start(bench).await?;
    let [mut took, mut left] = [Series::default(), Series::default()];
    let mut late = Vec::new();
    for _ in 0..bench.rounds {
        let empty = Empty::new(bench, Store::Postgres).await?;
        let settings = empty
            .settings
            .clone()
            .api(&others.api.url)
            .http_sink(&others.sink.url);
        others.sink.reset().await?;
        let other_dir = bench.folder()?;
        let first = settings.start().await?;
        let other = settings.clone().in_folder(other_dir.path()).start().await?;
        let (half, rest) = (count / 2, messages.after(count / 2));
        tokio::try_join!(
            messages.send(&first.webhook, half, 16, 0.0),
            rest.send(&other.webhook, count - half, 16, 0.0),
        )?;
        first.process.kill()?;
        let killed = wall();
        left.push(count.saturating_sub(others.sink.count().await?.0) as f64);
        match arrived(&others.sink, count, bench.takeover_limit).await? {
            Ok(last) => took.push(last.saturating_sub(killed).as_secs_f64()),
            Err(came) => late.push(count - came),
        }
    }
    let what = "takeover, PostgreSQL, kill to all delivered";
    let row = if late.is_empty() {
        Row::new(what, "s", &took)
    } else {
        let limit = bench.takeover_limit.as_secs();
        let note = format!(
            "not within {limit} s in {} of {} rounds; events then left: {late:?}",
            late.len(),
            bench.rounds
        );
        Row::without_figure(what, "s").note(note)
    };
    bench.table.push(row.more("events left at the kill", &left));
    Ok(())
}
