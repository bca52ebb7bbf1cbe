//! A secret: where it comes from and what it is. Prints `[redacted]`, whatever asks.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A secret value and its origin. `Debug` and `Display` show the origin and never the value.
#[derive(Clone)]
pub struct Secret {
    origin: Origin,
    value: SecretString,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Literal,
}

/// A secret with a name, for lists in which several are valid at once.
#[derive(Debug, Clone)]
pub struct NamedSecret {
    /// Its name; in logs and metrics in place of the value.
    pub id: String,
    /// The secret.
    pub secret: Secret,
}

impl Secret {
    /// A secret given as such.
    pub fn literal(value: impl Into<String>) -> Self {
        Self {
            origin: Origin::Literal,
            value: SecretString::from(value.into()),
        }
    }

    /// The value. Call it where the value is used and nowhere else.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?}, [redacted])", self.origin)
    }
}
