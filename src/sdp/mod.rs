//! The vendor's API: logs in, fetches links, and requests sessions' statuses.
//!
//! Several identities may be configured. For each session, those that are likely to have access are tried in turn until
//! one may read it. Bodies are passed on as received. The token is sent only to the origin of `sdp.base_url`, and
//! redirects are never followed.

mod client;
mod error;
mod exchange;
mod href;
mod identities;
mod login;
mod memory;
mod order;
mod partner_token;
mod reader;
mod readers;
mod subject;
mod token;
mod transport;
mod wire;

pub use client::{Client, status_in};
pub use error::{Failure, Kind};
pub use exchange::Fetched;
pub use href::{Hrefs, Refused, Target};
pub use subject::Subject;
