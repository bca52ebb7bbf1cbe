//! Receives Suki's session notifications, keeps them, follows their links and delivers the result.
//!
//! Modules stand in reading order, and data moves down the list: a notification comes in at `ingress`, becomes
//! durable in `journal`, is picked up by `worker`, which asks `sdp` and hands the result to `sinks`.

pub mod config;
pub mod domain;
pub mod signature;
pub mod simulator;
