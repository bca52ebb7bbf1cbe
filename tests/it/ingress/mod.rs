//! The public listener from outside.

mod answers;
mod grammar;
mod headers;
mod idle;
mod leaving;
mod limits;
mod paths;
mod refused;
mod tls;
mod unread;
mod untaken;
mod vectors;
