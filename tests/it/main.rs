//! Behaviour from outside: real sockets, the real store, the real binary. One file for each behaviour.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod architecture;
mod cli;
mod ingress;
mod journal;
mod lifecycle;
mod support;
