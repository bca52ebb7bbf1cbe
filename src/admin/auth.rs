//! Who calls, and what they may do: bearer tokens with one of two roles.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::config::{AdminToken, Role};

/// The tokens that are valid now, as hashes.
#[derive(Clone)]
pub struct Tokens(Vec<Known>);

#[derive(Clone)]
struct Known {
    hash: [u8; 32],
    caller: Caller,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name; stands in the audit log.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl Tokens {
    /// The set of these tokens.
    pub fn new(tokens: &[AdminToken]) -> Self {
        let known = |token: &AdminToken| Known {
            hash: hash(token.secret.expose()),
            caller: Caller {
                name: token.name.clone(),
                role: token.role,
            },
        };
        Self(tokens.iter().map(known).collect())
    }

    /// Whose token it is. Hashes are compared, so the time it takes tells nothing of the token.
    pub fn find(&self, token: &str) -> Option<&Caller> {
        let presented = hash(token);
        self.0
            .iter()
            .find(|known| known.hash == presented)
            .map(|known| &known.caller)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|known| &known.caller))
            .finish()
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
