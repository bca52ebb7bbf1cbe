//! Sockets: the listener with its limits, TLS, the shape of error answers, and the outgoing HTTP client.

mod activity;
mod answer;
mod certificate;
mod coding;
mod connection;
mod describe;
mod framing;
mod handover;
mod health;
mod http_client;
mod limits;
mod listen;
mod no_proxy;
mod open;
mod open_files;
mod refused;
mod request_body;
mod resolver;
mod stream;
mod tls;
mod tls_error;

pub use answer::{ErrorBody, error_response, method_not_allowed, not_found};
pub use coding::{ACCEPTED_CODINGS, CodingError, decode};
pub use describe::{NoAnswer, describe, no_answer};
pub use handover::{BindError, LentSockets, Offer, Predecessor, Sockets, Withdraw, ask};
pub use health::{Health, description as health_description, routes as health_routes};
pub use http_client::{
    BodyError, ClientError, ClientOptions, Reach, build_client, read_capped, read_decoded,
    retry_after,
};
pub use limits::Limits;
pub use listen::{Listener, Peer};
pub use open_files::{connections_within, raise_open_files};
pub use resolver::is_public;
pub use tls::ServerTls;
pub use tls_error::TlsError;
