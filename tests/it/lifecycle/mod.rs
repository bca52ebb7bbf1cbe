//! The real binary: starts, drains, reloads, survives.

mod process;
