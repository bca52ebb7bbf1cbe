//! The public listener from outside.

mod answers;
mod headers;
mod idle;
mod leaving;
mod limits;
mod paths;
mod refused;
mod tls;
mod vectors;
