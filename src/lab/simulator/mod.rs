//! Simulates the vendor: its API with faults on demand, and its sender of signed notifications.
//!
//! The demo, the tests, the load generator and partners' own tests all use it. It knows nothing about the receiver
//! except the address to post to. Two simulators can run in one process; they share only the key that signs their
//! tokens.

mod answers;
mod api;
mod bodies;
mod calls;
mod canned;
mod control;
mod endpoint;
mod faults;
mod load;
mod misbehave;
mod mix;
mod plan;
mod ports;
mod proxy;
mod report;
mod sdp;
mod sender;
mod served;
mod sessions;
mod signing;
mod tokens;

pub use calls::Call;
pub use canned::Canned;
pub use endpoint::Endpoint;
pub use faults::{BadFault, Fault, Faults, Rule};
pub use load::{BadLoad, Load};
pub use mix::{BadMix, Kind, Mix};
pub use plan::{Expect, Plan, Planned};
pub use ports::own_address;
pub use proxy::Proxy;
pub use report::Report;
pub use sdp::{Options, Sdp};
pub use sender::{Answer, Sender};
pub use served::Served;
pub use sessions::Session;
pub use signing::{Message, Signing};
