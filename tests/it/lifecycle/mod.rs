//! The real binary: starts, drains, reloads, survives.

mod balancers;
mod closing;
mod database;
mod handover;
mod instances;
mod polling;
mod process;
mod takeover;
