//! The journal's promises: one contract suite for every store, and what the service does when the store fails.

mod amendments;
mod contract;
mod crash;
mod damage;
mod disk;
mod embedded;
mod expected;
mod failing;
mod files;
mod paging;
mod postgres;
mod refused;
mod spool;
mod upgrade;
