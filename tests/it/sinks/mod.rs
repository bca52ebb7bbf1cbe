//! Sinks from outside: one compliance suite for each of them, and what is particular to one.

mod compliance;
mod http;
mod own_state;
