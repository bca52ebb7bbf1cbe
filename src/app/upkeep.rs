//! What has to happen now and then: is the store well, and the metrics' samples folded.

use std::time::Duration;

use tracing_appender::non_blocking::ErrorCounter;

use crate::admin;
use crate::lifecycle::{Part, Shutdown};

/// How often the store is asked while it is well, and while it is not.
const WHILE_WELL: Duration = Duration::from_secs(5);
const WHILE_UNWELL: Duration = Duration::from_millis(500);

/// Starts the task in `group`.
pub(super) fn spawn(state: &admin::State, log_dropped: Option<ErrorCounter>, group: &Shutdown) {
    let (state, stop) = (state.clone(), group.clone());
    group.spawn("upkeep", async move {
        loop {
            let is_well = state.readiness.is_well(Part::Store);
            tokio::select! {
                () = tokio::time::sleep(if is_well { WHILE_WELL } else { WHILE_UNWELL }) => {}
                () = stop.stopping() => return,
            }
            if let Some(dropped) = &log_dropped {
                state
                    .metrics
                    .log_lines_dropped(u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX));
            }
            look(&state).await;
        }
    });
}

async fn look(state: &admin::State) {
    state.metrics.upkeep();
    let was_well = state.readiness.is_well(Part::Store);
    match state.journal.check().await {
        Ok(()) => {
            state.readiness.well(Part::Store);
            if !was_well {
                tracing::info!("the store takes writes again");
            }
        }
        Err(error) => {
            state
                .readiness
                .unwell(Part::Store, "it does not take writes now");
            if was_well {
                tracing::error!(error = %error, "the store does not take writes; notifications are answered 503");
            }
        }
    }
}
