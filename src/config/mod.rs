//! The configuration: typed sections, where their values come from, and what is wrong with them.
//!
//! Holds data; builds no clients and opens nothing but the files it reads values from.

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

/// Everything that can be set.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `[server]`: the public listener.
    pub server: Server,
    /// `[admin]`: the listener for operators.
    pub admin: Admin,
    /// `[signature]`: how notifications are verified.
    pub signature: Signature,
    /// `[store]`: where they are kept.
    pub store: Store,
    /// `[net]`: how others are reached.
    pub net: Net,
    /// `[sdp]`: the vendor's API.
    pub sdp: Sdp,
    /// `[follow]`: which links are followed, and for how long.
    pub follow: Follow,
    /// `[reconcile]`: sessions that are expected.
    pub reconcile: Reconcile,
    /// `[refresh]`: content that comes late, or anew.
    pub refresh: Refresh,
    /// `[canary]`: the synthetic notification.
    pub canary: Canary,
    /// `[[sinks]]`: where results go.
    pub sinks: Vec<SinkConfig>,
    /// `[retention]`: how long content and receipts stay.
    pub retention: Retention,
    /// `[log]`: what is logged, and how.
    pub log: Log,
    /// `[otel]`: where traces go.
    pub otel: Otel,
}
