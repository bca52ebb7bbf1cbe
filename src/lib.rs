//! Receives Suki's session notifications, keeps them, follows their links and delivers the result.
//!
//! Modules stand in reading order, and data moves down the list: a notification comes in at `ingress`, becomes
//! durable in `journal`, is picked up by `worker`, which asks `sdp` and hands the result to `sinks`.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod ingress;
pub mod journal;
pub mod lifecycle;
pub mod metrics;
pub mod net;
pub mod sdp;
pub mod signature;
pub mod sinks;
pub mod worker;
