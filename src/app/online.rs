//! Checks whether the systems that a configuration names can be used: logs in, opens the store and reaches each sink,
//! and changes nothing.

use std::path::Path;

use super::{stores, wiring};
use crate::config::{Config, StoreUrl};
use crate::metrics::Metrics;
use crate::net::ServerTls;
use crate::{sdp, sinks, traces};

/// Each check with its result.
pub async fn check(config: &Config) -> Vec<(String, Result<(), String>)> {
    let mut results = Vec::new();
    if let Some(tls) = &config.server.tls {
        results.push((
            "certificate".to_owned(),
            ServerTls::load(tls)
                .map(|_| ())
                .map_err(|error| error.to_string()),
        ));
    }
    results.push((format!("store {}", config.store.url), store(config).await));
    results.extend(sdp(config).await);
    if let Some(endpoint) = &config.otel.endpoint {
        let host = endpoint.host_str().unwrap_or_default();
        let result = traces::check(&config.otel).await;
        results.push((format!("collector of traces at {host}"), result));
    }
    for sink in &config.sinks {
        let result = match sinks::build(sink) {
            Ok(sink) => sink.check().await,
            Err(error) => Err(error.to_string()),
        };
        results.push((format!("sink {}", sink.name), result));
    }
    results
}

async fn store(config: &Config) -> Result<(), String> {
    if let StoreUrl::Sqlite(path) = &config.store.url
        && !path.exists()
    {
        return can_be_made(path);
    }
    let store = stores::guest(config).map_err(|error| super::chain(&error))?;
    let result = store.check().await.map_err(|error| error.to_string());
    store.close().await;
    result
}

async fn sdp(config: &Config) -> Vec<(String, Result<(), String>)> {
    let what = format!("SDP login at {}", config.sdp.base_url);
    let client = match wiring::sdp_client(config, &Metrics::new()) {
        Ok(Some(client)) => client,
        Ok(None) => {
            let why = "no credentials configured (sdp.auth); nothing would be followed";
            return vec![(what, Err(why.to_owned()))];
        }
        Err(error) => return vec![(what, Err(super::chain(&error)))],
    };
    let is_one = config.sdp.identities.is_empty();
    let of_identity = |(name, result): (String, Option<Result<(), sdp::Failure>>)| {
        let what = if is_one {
            what.clone()
        } else {
            format!("{what} as {name}")
        };
        match result {
            Some(result) => (what, result.map_err(|failure| failure.to_string())),
            None => (
                format!("{what} not tried: it needs a provider's name"),
                Ok(()),
            ),
        }
    };
    client.check().await.into_iter().map(of_identity).collect()
}

/// The first start creates the store, so its folder, or the nearest existing folder above it, must be writable.
fn can_be_made(path: &Path) -> Result<(), String> {
    let parent = path.ancestors().skip(1).find(|above| above.is_dir());
    let folder = parent.unwrap_or(Path::new("."));
    tempfile::tempfile_in(folder)
        .map(|_| ())
        .map_err(|error| format!("cannot be made in {}: {error}", folder.display()))
}
