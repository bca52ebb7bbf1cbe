//! From sources to values: files, environment, commands; what a key's value can be; what is wrong with it. Knows no section.

mod command;
pub(super) mod dump;
pub(super) mod duration;
pub(super) mod env;
pub(super) mod file;
mod notes;
pub(super) mod problem;
pub(super) mod secret;
pub(super) mod section;
pub(super) mod setting;
pub(super) mod source;
mod text;
pub(super) mod tree;

pub use dump::Effective;
pub use env::Env;
pub use problem::{Fault, Problem, Problems};
pub use secret::{NamedSecret, Secret, SecretError};
pub use source::Source;
