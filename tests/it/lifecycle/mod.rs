//! The real binary: starts, drains, reloads, survives.

mod closing;
mod database;
mod handover;
mod instances;
mod process;
mod takeover;
