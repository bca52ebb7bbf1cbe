//! The address of a PostgreSQL database. It may contain a password, which is never printed.

use std::error::Error as _;
use std::fmt;

use tokio_postgres::config::Host;

/// A valid address `postgres://USER:PASSWORD@HOST:PORT/DATABASE?…` (PostgreSQL manual, 34.1.1.2).
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Box<tokio_postgres::Config>);

impl PostgresUrl {
    /// Parses an address. The error shows no part of the value except names of options.
    ///
    /// # Errors
    /// When the address is invalid, or names no host, user or database.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "use postgres://USER@HOST:PORT/DATABASE, with the password in store.password";
        if text.contains("sslrootcert=") {
            return Err(
                "has the option sslrootcert; remove it, and name the file in store.ca_file"
                    .to_owned(),
            );
        }
        let parsed: tokio_postgres::Config =
            verifying(text)
                .parse()
                .map_err(|error: tokio_postgres::Error| {
                    // The error's cause names the option.
                    let cause = error
                        .source()
                        .map_or_else(|| error.to_string(), ToString::to_string);
                    format!("invalid database address ({cause}); {FORM}")
                })?;
        for (what, is_missing) in [
            ("host", parsed.get_hosts().is_empty()),
            ("user", parsed.get_user().is_none()),
            ("database", parsed.get_dbname().is_none()),
        ] {
            if is_missing {
                return Err(format!("names no {what}; {FORM}"));
            }
        }
        // With an @ in it, this part may be the end of the password.
        let has_at = |name: &str| name.contains('@');
        let hosts = parsed.get_hosts().iter();
        if parsed.get_dbname().is_some_and(has_at)
            || hosts
                .clone()
                .any(|host| matches!(host, Host::Tcp(name) if has_at(name)))
        {
            return Err(format!(
                "has an @ too many (in a password it is written %40, and / is %2F); {FORM}"
            ));
        }
        Ok(Self(Box::new(parsed)))
    }

    /// The parsed address, including its password.
    pub fn expose(&self) -> &tokio_postgres::Config {
        &self.0
    }

    /// Whether the address contains a password.
    pub fn has_password(&self) -> bool {
        self.0.get_password().is_some()
    }
}

/// The address with `sslmode=require` for the modes in which other clients also verify the certificate: this service
/// verifies it in every mode with TLS.
fn verifying(text: &str) -> String {
    ["verify-ca", "verify-full"]
        .iter()
        .fold(text.to_owned(), |text, mode| {
            text.replace(&format!("sslmode={mode}"), "sslmode=require")
        })
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}", self.0.get_user().unwrap_or_default())?;
        if self.has_password() {
            f.write_str(":[redacted]")?;
        }
        f.write_str("@")?;
        for (index, host) in self.0.get_hosts().iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
            if let Some(port) = self.0.get_ports().get(index).or(self.0.get_ports().first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.0.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}
