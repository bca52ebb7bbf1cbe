//! The description of the service that the console shows: taken from the configuration, without any secret.

use jiff::Timestamp;

use crate::config::{Config, Include, SinkConfig, SinkTarget, StoreUrl};
use crate::console::{About, SinkInfo};

/// Describes a service with this configuration.
pub(super) fn about(config: &Config, instance: String, since: Timestamp) -> About {
    About {
        label: config.admin.label.clone(),
        instance,
        sdp: config
            .sdp
            .base_url
            .host_str()
            .unwrap_or_default()
            .to_owned(),
        sinks: config.sinks.iter().map(sink).collect(),
        store: match &config.store.url {
            StoreUrl::Sqlite(_) => "embedded (SQLite)",
            StoreUrl::Postgres(_) => "shared (PostgreSQL)",
        },
        webhook_path: config.server.path.clone(),
        trace_url: config.admin.console.trace_url.clone(),
        since,
        configuration: String::new(),
    }
}

fn sink(sink: &SinkConfig) -> SinkInfo {
    let (kind, target, is_signed) = match &sink.target {
        SinkTarget::Files(files) => ("files", files.dir.display().to_string(), false),
        SinkTarget::Http(http) => {
            // Only the host is shown: the path may contain a key.
            let host = http.url.host_str().unwrap_or_default();
            ("http", host.to_owned(), !http.secrets.is_empty())
        }
    };
    SinkInfo {
        name: sink.name.clone(),
        kind,
        target,
        has_content: sink.include == Include::Everything,
        is_signed,
        outcomes: sink.events.iter().map(|outcome| outcome.as_str()).collect(),
    }
}
