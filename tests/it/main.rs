//! Behaviour from outside: real sockets, the real store, the real binary. One file for each behaviour.

#![allow(unreachable_pub, reason = "a test binary has no public")]
#![allow(
    clippy::unwrap_used,
    clippy::let_underscore_must_use,
    reason = "a test that cannot go on says where; what may fail by design is let go"
)]

mod architecture;
mod browser;
mod circles;
mod cli;
mod documents;
mod ingress;
mod journal;
mod lifecycle;
mod operators;
mod properties;
mod sinks;
mod support;
mod worker;
