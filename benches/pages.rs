//! The console's pages, and the calls that they are made of, over a store with millions of events.

use std::time::Instant;

use anyhow::Context;

use super::messages::Messages;
use super::receiver::{PATIENCE, Receiver, Settings};
use super::stage::{Empty, Others, Store, delivered};
use super::table::{Row, Series};
use super::{Bench, fill, fill_postgres};

/// Pages, with what each is called in the table.
const PAGES: [(&str, &str); 12] = [
    ("overview", "/"),
    ("needs attention", "/attention"),
    ("events", "/events"),
    ("events, dead", "/events?state=dead"),
    (
        "events of a cause",
        "/events?cause=deliver.unreachable&sink=out&state=dead",
    ),
    ("events of an hour", "/events?since=1h"),
    ("events, nothing found", "/events?error_code=NOT_THERE"),
    ("expected sessions", "/expected"),
    ("replay jobs", "/replays"),
    ("sinks and Suki", "/dependencies"),
    ("audit", "/audit"),
    ("system", "/system"),
];

/// Requests for a page in one round.
const TIMES: usize = 5;

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (done, dead) = if bench.quick {
        (200_000, 2_000)
    } else {
        (5_000_000, 50_000)
    };
    for store in Store::BOTH {
        let empty = Empty::new(bench, store).await?;
        let settings = filled(bench, &empty, done, dead).await?;
        let receiver = settings.start().await?;
        let cookie = receiver.sign_in().await?;
        let event = receiver.newest().await?;
        let event = format!("/events/{event}");
        let pages = PAGES.into_iter().chain([("an event", event.as_str())]);
        for (name, path) in pages {
            let mut took = Series::default();
            for _ in 0..bench.rounds {
                for _ in 0..TIMES {
                    let start = Instant::now();
                    receiver
                        .page(path, &cookie)
                        .await
                        .with_context(|| format!("the page {path}"))?;
                    took.push(start.elapsed().as_secs_f64() * 1000.0);
                }
            }
            let what = format!("page, {}, {done} events: {name}", store.name());
            bench.table.push(Row::new(what, "ms", &took));
        }
        receiver.process.stop(PATIENCE).await?;
    }
    Ok(())
}

/// A store in which most events are done and purged, and some are dead.
async fn filled(bench: &Bench, empty: &Empty, done: u64, dead: u64) -> anyhow::Result<Settings> {
    let others = Others::start(bench).await?;
    let settings = empty.settings.clone().api(&others.api.url);
    let with_sink = settings.clone().http_sink(&others.sink.url);
    let receiver = with_sink.start().await?;
    let messages = Messages::new(2, 60);
    messages.send(&receiver.webhook, 1, 1, 0.0).await?;
    delivered(&receiver, 1, PATIENCE).await?;
    receiver.process.stop(PATIENCE).await?;
    multiply(empty, done, true).await?;

    // The sink is gone, and what it does not take at once is given up.
    drop(others);
    let others = Others::start(bench).await?;
    let nowhere = format!("http://{}/", suki_receiver::lab::simulator::own_address()?);
    let without_sink = empty
        .settings
        .clone()
        .api(&others.api.url)
        .http_sink(&nowhere.parse()?)
        .set("SINKS__OUT__RETRY__INITIAL", "1ms")
        .set("SINKS__OUT__RETRY__MAX", "1ms")
        .set("SINKS__OUT__RETRY__GIVE_UP_AFTER", "1ms");
    let receiver = without_sink.start().await?;
    let messages = messages.after(1);
    messages.send(&receiver.webhook, 1, 1, 0.0).await?;
    is_dead(&receiver).await?;
    receiver.process.stop(PATIENCE).await?;
    multiply(empty, dead, false).await?;
    Ok(without_sink)
}

async fn is_dead(receiver: &Receiver) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while receiver.dead().await? == 0 {
        anyhow::ensure!(Instant::now() < deadline, "the event is not given up");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn multiply(empty: &Empty, count: u64, is_purged: bool) -> anyhow::Result<()> {
    match &empty.database {
        Some(database) => fill_postgres::multiply(&database.url()?, count, is_purged).await,
        None => fill::multiply(&empty.settings.file(), count, is_purged),
    }
}
