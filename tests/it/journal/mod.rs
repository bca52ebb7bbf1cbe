//! The journal's promises: one contract suite for every store, and what the service does when the store fails.

mod contract;
mod failing;
mod upgrade;
