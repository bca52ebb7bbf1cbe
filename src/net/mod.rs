//! Sockets: the listener with its limits, TLS, and the outgoing HTTP client with its.

mod activity;
mod http_client;
mod listen;
mod resolver;
mod tls;

pub use http_client::{
    BodyError, ClientError, ClientOptions, Reach, build_client, describe, read_capped, retry_after,
};
pub use listen::{Limits, Listener, bind};
pub use resolver::is_public;
pub use tls::{ServerTls, TlsError};
