//! Receives Suki's session notifications, keeps them, follows their links and delivers the result.
//!
//! Modules stand in reading order, and data moves down the list: a notification comes in at `ingress`, becomes
//! durable in `journal`, is picked up by `worker`, which asks `sdp` and hands the result to `sinks`.

pub mod ingress;
pub mod journal;
pub mod worker;

pub mod sdp;
pub mod sinks;

pub mod admin;
pub mod console;

pub mod app;
pub mod cli;
pub mod lab;
mod terminal;

// Support: owns no table.
pub mod config;
pub mod domain;
pub mod lifecycle;
pub mod metrics;
pub mod net;
pub mod signature;
pub mod traces;
