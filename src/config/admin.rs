//! `[admin]`: the listener for operators, and who may use it.

use std::net::SocketAddr;

use super::Secret;

/// The admin listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Address and port.
    pub listen: SocketAddr,
    /// Who may call the API. Empty: on loopback one operator token is made at start; elsewhere an error.
    pub tokens: Vec<AdminToken>,
}

/// One bearer token.
#[derive(Debug, Clone)]
pub struct AdminToken {
    /// Who it belongs to; stands in the audit log.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The token itself.
    pub secret: Secret,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See events, no clinical content.
    Viewer,
    /// All of that, read content, replay and purge.
    Operator,
}

impl Role {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            tokens: Vec::new(),
        }
    }
}
