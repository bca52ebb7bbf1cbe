//! Receives Suki's session notifications, stores them durably, fetches what their links point to and delivers the
//! result.
//!
//! The modules stand in reading order, which is also the way of the data: a notification arrives at `ingress`, becomes
//! durable in `journal` and is picked up by `worker`, which calls Suki's API through `sdp` and hands the result to
//! `sinks`.

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

// Support modules: none of them owns a database table.
pub mod config;
pub mod domain;
pub mod lifecycle;
pub mod metrics;
pub mod net;
pub mod signature;
pub mod traces;
