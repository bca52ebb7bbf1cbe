//! The configuration: typed sections, where their values come from, and what is wrong with them.
//!
//! Holds data; builds no clients and opens nothing but the files it reads values from.

mod across;
mod admin;
mod canary;
mod check;
mod command;
mod console;
mod dump;
mod duration;
mod env;
mod file;
mod follow;
mod headers;
mod identity;
mod load;
mod log;
mod net;
mod notes;
mod odd;
mod otel;
mod otel_env;
mod postgres_url;
mod problem;
mod provider;
mod reader;
mod reconcile;
mod refresh;
mod retention;
mod sdp;
mod sdp_auth;
mod secret;
mod secret_keys;
mod server;
mod setting;
mod signature;
mod sinks;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod text;
mod tree;

pub use admin::{Admin, AdminToken, Role};
pub use canary::Canary;
pub use console::{Console, TRACE_ID};
pub use dump::Effective;
pub use env::Env;
pub use follow::{Follow, Required, Retry};
pub use identity::Identity;
pub use load::{LoadOptions, Loaded};
pub use log::{Log, LogFormat};
pub use net::{Net, Proxy, Via};
pub use otel::Otel;
pub use postgres_url::PostgresUrl;
pub use problem::{Fault, Problem, Problems};
pub use provider::{ProviderCommand, ProviderPattern, for_provider};
pub use reconcile::{Alarm, Reconcile};
pub use refresh::Refresh;
pub use retention::Retention;
pub use sdp::Sdp;
pub use sdp_auth::{AuthMode, PartnerToken, SdpAuth, SigningKey};
pub use secret::{NamedSecret, Secret, SecretError};
pub use server::{Server, ServerTls};
pub use signature::{OnStale, Signature};
pub use sinks::{FilesConfig, HttpConfig, Include, SinkConfig, SinkTarget, Template};
pub use source::Source;
pub use store::{Store, StoreUrl};

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
