//! The vendor's API: logging in, following links, asking how a session ended.
//!
//! Bodies are passed on as received. The token goes to `sdp.base_url`'s origin only, and nowhere by a redirect.

mod client;
mod error;
mod exchange;
mod href;
mod login;
mod partner_token;
mod token;
mod wire;

pub use client::{Client, status_in};
pub use error::{Failure, Kind};
pub use exchange::Fetched;
pub use href::{Hrefs, Refused, Target};
