//! The configuration: typed sections, the sources of their values, and the problems found in them.
//!
//! This folder only holds data: it builds no clients and opens only the files from which it reads values.

mod load;
mod reader;
mod sections;
#[cfg(test)]
mod tests;

pub use load::{LoadOptions, Loaded};
pub use reader::{
    Effective, Env, Fault, NamedSecret, Problem, Problems, Secret, SecretError, Source,
};
pub use sections::{
    Admin, AdminToken, Alarm, AuthMode, Canary, Console, FilesConfig, Follow, HttpConfig, Identity,
    Include, Log, LogFormat, Net, OnStale, Otel, PartnerToken, PostgresUrl, ProviderCommand,
    ProviderPattern, Proxy, Reconcile, Refresh, Required, Retention, Retry, Role, Sdp, SdpAuth,
    Server, ServerTls, Signature, SigningKey, SinkConfig, SinkTarget, Store, StoreUrl, TRACE_ID,
    Template, Via, for_provider,
};

/// The whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `[server]`: the public listener.
    pub server: Server,
    /// `[admin]`: the listener for operators.
    pub admin: Admin,
    /// `[signature]`: how notifications are verified.
    pub signature: Signature,
    /// `[store]`: where notifications are kept.
    pub store: Store,
    /// `[net]`: the proxy for outgoing calls.
    pub net: Net,
    /// `[sdp]`: the vendor's API.
    pub sdp: Sdp,
    /// `[follow]`: which links are followed, and for how long.
    pub follow: Follow,
    /// `[reconcile]`: expected sessions.
    pub reconcile: Reconcile,
    /// `[refresh]`: content that comes late or changes.
    pub refresh: Refresh,
    /// `[canary]`: the synthetic notification.
    pub canary: Canary,
    /// `[[sinks]]`: where results are delivered.
    pub sinks: Vec<SinkConfig>,
    /// `[retention]`: how long content and receipts stay.
    pub retention: Retention,
    /// `[log]`: the level and the format of the log.
    pub log: Log,
    /// `[otel]`: where traces are sent.
    pub otel: Otel,
}
