//! The vendor's API: logging in, following links, asking how a session ended.
//!
//! Several identities may ask: of each session those are asked that are likely to read it, one after the other, until one
//! does. Bodies are passed on as received. The token goes to `sdp.base_url`'s origin only, and nowhere by a redirect.

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
