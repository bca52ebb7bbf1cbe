//! Injects faults. The seed determines the faults, their times and their durations.
//!
//! Two tasks inject faults concurrently, so that faults coincide: one in the receivers, and one in their environment.

use std::time::{Duration, Instant};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::fault::Fault;
use super::history::{Act, History};
use super::inbox::Mood;
use super::stage::Stage;

/// Faults of the simulated API, other than being down.
const VENDOR: &str =
    "content=404:30%,login=500:30%,any=500:15%,any=cut:10%,any=slow:500ms,any=429:5%;retry-after=1";

/// Injects faults of both groups until `until`, and undoes the last ones.
pub(super) async fn run(stage: &Stage, seed: u64, until: Instant) -> anyhow::Result<History> {
    let mut around = Fault::AROUND.to_vec();
    if stage.database.is_some() {
        // Faults of the database are as likely as all others together, since they are the most important ones for a
        // shared store.
        around.extend(Fault::DATABASE.repeat(2));
    }
    let (mut acts, others) = tokio::try_join!(
        hand(stage, &Fault::RECEIVERS, StdRng::seed_from_u64(seed), until),
        hand(stage, &around, StdRng::seed_from_u64(!seed), until),
    )?;
    acts.extend(others);
    Ok(History::new(acts))
}

/// Injects the faults of one group in random order, repeatedly.
async fn hand(
    stage: &Stage,
    faults: &[Fault],
    mut random: StdRng,
    until: Instant,
) -> anyhow::Result<Vec<Act>> {
    let (mut acts, mut deck) = (Vec::new(), Vec::new());
    loop {
        // Each fault is drawn once before any is repeated, so that a short run has as many kinds as possible.
        if deck.is_empty() {
            deck = faults.to_vec();
            deck.shuffle(&mut random);
        }
        let pause = Duration::from_millis(random.random_range(50..1000));
        tokio::time::sleep(pause).await;
        let Some(fault) = deck.pop().filter(|_| Instant::now() < until) else {
            return Ok(acts);
        };
        let lasts = Duration::from_millis(random.random_range(100..2500));
        let lasts = lasts.min(until.saturating_duration_since(Instant::now()));
        let (instance, from) = (
            random.random_range(0..stage.instances.len()),
            Instant::now(),
        );
        commit(stage, fault, instance, lasts)
            .await
            .with_context(|| format!("fault: {}", fault.name()))?;
        acts.push(Act {
            fault,
            instance,
            from,
            to: Instant::now(),
        });
    }
}

async fn commit(stage: &Stage, fault: Fault, which: usize, lasts: Duration) -> anyhow::Result<()> {
    let mood = |mood| async move {
        stage.inbox.set(mood);
        tokio::time::sleep(lasts).await;
        stage.inbox.set(Mood::Well);
    };
    match fault {
        Fault::Kill => {
            stage.instances[which]
                .lock()
                .await
                .kill_and_restart()
                .await?
        }
        Fault::Restart => stage.instances[which].lock().await.restart().await?,
        Fault::HandOver => stage.instances[which].lock().await.follow().await?,
        Fault::FullDisk => {
            let instance = stage.instances[which].lock().await;
            instance.fill_disk(true)?;
            tokio::time::sleep(lasts).await;
            instance.fill_disk(false)?;
        }
        Fault::VendorDown => {
            stage.vendor.shut();
            tokio::time::sleep(lasts).await;
            stage.vendor.reopen().await?;
        }
        Fault::VendorFails => {
            stage.vendor.sdp.set_faults(VENDOR.parse()?);
            tokio::time::sleep(lasts).await;
            stage.vendor.sdp.set_faults("".parse()?);
        }
        Fault::SinkDown => mood(Mood::Down).await,
        Fault::SinkSlow => mood(Mood::Slow).await,
        Fault::SinkLies => mood(Mood::Lying).await,
        Fault::DatabaseCut | Fault::DatabaseStalls => {
            let database = stage.database.as_ref().context("there is no database")?;
            if fault == Fault::DatabaseCut {
                database.cut();
            } else {
                database.stall();
            }
            tokio::time::sleep(lasts).await;
            database.restore();
        }
    }
    Ok(())
}
