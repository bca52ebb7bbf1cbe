//! The vendor, played: its API with faults on demand, and its sender of signed notifications.
//!
//! The demo, the tests, the load generator and partners' own tests all use this one. It knows nothing of the receiver
//! but the address to post to, and holds nothing global: two can live in one process.

mod answers;
mod api;
mod bodies;
mod calls;
mod control;
mod endpoint;
mod faults;
mod misbehave;
mod mix;
mod plan;
mod sdp;
mod sessions;
mod signing;
mod tokens;

pub use calls::Call;
pub use endpoint::Endpoint;
pub use faults::{BadFault, Fault, Faults, Rule};
pub use mix::{BadMix, Kind, Mix};
pub use plan::{Expect, Plan, Planned};
pub use sdp::{Options, Sdp};
pub use sessions::Session;
pub use signing::{Message, Signing};
