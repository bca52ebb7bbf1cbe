//! The public listener from outside.

mod answers;
mod limits;
mod tls;
mod vectors;
