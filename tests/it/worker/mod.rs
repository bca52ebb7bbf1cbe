//! From a notification to a delivery, against the simulated vendor.

mod bytes;
mod changed;
mod complete;
mod expected;
mod follow;
mod identities;
mod late;
mod network;
mod outage;
mod settle;
mod token;
mod waits;
