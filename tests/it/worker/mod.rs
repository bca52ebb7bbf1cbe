//! From a notification to a delivery, against the simulated vendor.

mod follow;
mod outage;
mod settle;
mod token;
