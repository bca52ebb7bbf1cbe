//! From a notification to its delivery while nothing else is to be done.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::Bench;
use super::helpers::wall;
use super::messages::Messages;
use super::stage::{Empty, Others, Store, arrived};
use super::table::{Row, Series};

const RATE: f64 = 20.0;

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let count = (RATE * bench.seconds(15.0)) as u64;
    let messages = Messages::new(count, 4);
    let others = Others::start(bench).await?;
    for store in Store::BOTH {
        let [mut median, mut high] = [Series::default(), Series::default()];
        for _ in 0..bench.rounds {
            let empty = Empty::new(bench, store).await?;
            let settings = empty
                .settings
                .clone()
                .api(&others.api.url)
                .http_sink(&others.sink.url);
            others.sink.reset().await?;
            let receiver = settings.start().await?;
            let sent = Arc::new(Mutex::new(vec![Duration::ZERO; count as usize]));
            let (all, times) = (messages.clone(), Arc::clone(&sent));
            let message = move |number: u64| {
                times.lock().unwrap_or_else(PoisonError::into_inner)[number as usize] = wall();
                all.get(number).clone()
            };
            Messages::load(&receiver.webhook, count, 4, RATE, message).await?;
            let came = arrived(&others.sink, count, bench.limit).await?;
            came.map_err(|came| anyhow::anyhow!("only {came} of {count} were delivered"))?;
            let arrivals = others.sink.arrivals().await?;
            let sent = sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let mut took = Vec::new();
            for (number, sent) in (0..count).zip(sent) {
                let body: Value = serde_json::from_slice(&messages.get(number).body)?;
                let session = body["session_id"].as_str().context("no session")?;
                let at = arrivals.get(session).context("a session did not arrive")?;
                took.push(at.saturating_sub(sent).as_secs_f64() * 1000.0);
            }
            took.sort_by(f64::total_cmp);
            median.push(took[took.len() / 2]);
            high.push(took[took.len() * 99 / 100]);
        }
        let what = format!("latency to delivery, {}, {RATE} a second", store.name());
        bench
            .table
            .push(Row::new(format!("{what}, p50"), "ms", &median));
        bench
            .table
            .push(Row::new(format!("{what}, p99"), "ms", &high));
    }
    Ok(())
}
