//! Sends notifications at a constant rate, as a load balancer forwards them: to the next receiver if one refuses the
//! connection, and never again once they may have arrived.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ledger::{Ledger, Refused};
use super::registrations;
use super::stage::{SECRET, Stage};
use crate::lab::simulator::{Kind, Plan, Planned, Sdp, Sender};

/// The limit of concurrent requests. If a receiver is slow, the rate falls behind, as it would in reality.
const AT_ONCE: usize = 512;

/// For every this many notifications that are sent, one further notification is dropped.
const DROP_EVERY: u64 = 20;
/// One in this many sent notifications is of a registered session.
const EXPECT_EVERY: u64 = 10;

/// Sends until `stop`, then waits for the answers.
pub(super) async fn run(
    stage: &Stage,
    (plan, dropped): (Plan, Plan),
    rate: f64,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
) -> anyhow::Result<u64> {
    let senders: Vec<Sender> = stage
        .webhooks
        .iter()
        .map(|url| Sender::new(url.clone(), SECRET, AT_ONCE))
        .collect::<Result<_, _>>()?;
    let (senders, room) = (Arc::new(senders), Arc::new(Semaphore::new(AT_ONCE)));
    let (start, mut number) = (Instant::now(), 0);
    let mut registering = JoinSet::new();
    loop {
        let due = start + Duration::from_secs_f64(number as f64 / rate);
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            () = stop.cancelled() => break,
        }
        let permit = Arc::clone(&room).acquire_owned().await?;
        let planned = plan.message(number);
        announce(&stage.vendor.sdp, &planned);
        if number % DROP_EVERY == 0
            && let Some(session) = dropped.message(number / DROP_EVERY).session
        {
            stage.vendor.sdp.add_session(session.clone());
            ledger.dropping(&session);
            let (urls, ledger) = (stage.registrations.clone(), Arc::clone(&ledger));
            registering.spawn(async move {
                registrations::register(&urls, &session, ledger).await;
            });
        }
        if number % EXPECT_EVERY == 0
            && matches!(
                planned.kind,
                Kind::Success | Kind::FormFilling | Kind::NoLinks
            )
            && let Some(session) = planned.session.clone()
        {
            ledger.sending(&planned);
            let (urls, ledger) = (stage.registrations.clone(), Arc::clone(&ledger));
            registering.spawn(async move {
                registrations::register(&urls, &session, ledger).await;
            });
        }
        let (senders, ledger) = (Arc::clone(&senders), Arc::clone(&ledger));
        let first = usize::try_from(number)? % senders.len();
        tokio::spawn(async move {
            send(&senders, first, &planned, &ledger).await;
            drop(permit);
        });
        number += 1;
    }
    while registering.join_next().await.is_some() {}
    // When all permits are returned, all answers have come.
    let all = u32::try_from(AT_ONCE)?;
    drop(room.acquire_many(all).await?);
    Ok(number)
}

/// Adds the session to the vendor's API before its notification is sent.
fn announce(sdp: &Sdp, planned: &Planned) {
    if let Some(session) = &planned.session {
        sdp.add_session(session.clone());
    }
}

async fn send(senders: &[Sender], first: usize, planned: &Planned, ledger: &Ledger) {
    ledger.sending(planned);
    for n in 0..senders.len() {
        let instance = (first + n) % senders.len();
        let from = Instant::now();
        let error = match senders[instance].send(&planned.message).await {
            Ok(answer) => return ledger.answered(planned, instance, from, &answer),
            Err(error) => error,
        };
        let how = if error.is_timeout() {
            Refused::Silent
        } else {
            Refused::Unanswered(told(&error))
        };
        ledger.unanswered(instance, from, how);
        // Another receiver may get the request only if nothing of it was sent to this one.
        if !error.is_connect() {
            return;
        }
    }
}

/// An error with its causes; the last cause says what happened.
fn told(error: &reqwest::Error) -> String {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        told += &format!(": {error}");
        cause = error.source();
    }
    told
}
