//! Sinks from outside: one compliance suite for each of them, and what is particular to one.

mod alerts;
mod compliance;
mod examples;
mod http;
mod own_state;
