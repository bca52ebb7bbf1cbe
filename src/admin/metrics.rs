//! `GET /metrics`: Prometheus' text format, open to whoever can reach the listener. It contains no identifiers.

use axum::extract::State as Shared;
use axum::http::header;
use axum::response::IntoResponse;

use super::{State, stats};
use crate::lifecycle::Component;

/// Show the metrics.
///
/// In Prometheus' text format, without identifiers.
#[utoipa::path(
    get, path = "/metrics", tag = "health", operation_id = "show_metrics",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain")),
)]
// Counts the events in the store, then renders all metrics. If the store fails, its gauges keep their last values and
// the other metrics are still rendered, since they are needed most then.
pub(super) async fn show(Shared(state): Shared<State>) -> impl IntoResponse {
    match state.records().stats().await {
        Ok(found) => {
            let oldest = stats::oldest_pending(&found, state.clock.now());
            state.metrics.set_events(&found.events, oldest);
            state.metrics.set_rejected_kept(found.rejected);
            // Only if the store did not just fail.
            if let Ok(waiting) = state.records().waiting_deliveries(Vec::new()).await {
                for sink in state.sinks.iter() {
                    let found = waiting.iter().find(|waits| waits.sink == *sink);
                    let count = found.map_or(0, |waits| waits.count);
                    let oldest = stats::age(found.map(|waits| waits.since), state.clock.now());
                    state.metrics.set_deliveries_pending(sink, count, oldest);
                }
            }
            if let Ok(paused) = state.records().paused().await {
                let is_paused = |sink: &str| paused.iter().any(|pause| pause.sink == sink);
                state.metrics.set_sinks_paused(&state.sinks, is_paused);
            }
        }
        Err(error) => {
            tracing::warn!(error = %error, "cannot count the events; the metrics show the last count");
        }
    }
    state.metrics.set_stream_clients(state.watchers.count());
    state.metrics.set_ready(state.readiness.report().is_ready);
    for part in Component::ALL {
        let is_well = state.readiness.is_healthy(*part);
        state.metrics.set_part_well(part.as_str(), is_well);
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (content_type, state.metrics.render())
}
