//! `[admin]`: the listener for operators, and who may use it.

use std::net::SocketAddr;

use super::secret_keys::{ENV_NAME, Found};
use super::{Console, ServerTls, check, odd};
use crate::config::reader::Secret;
use crate::config::reader::section::Section;
use crate::config::reader::setting::Word;

/// The admin listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Address and port.
    pub listen: SocketAddr,
    /// Whether plain HTTP on an address other than loopback is intended, because a proxy in front terminates TLS.
    pub insecure: bool,
    /// `[admin.tls]`, if this listener terminates TLS.
    pub tls: Option<ServerTls>,
    /// The label in the console's header, such as the name of the environment. Empty for none.
    pub label: String,
    /// `[admin.console]`.
    pub console: Console,
    /// The tokens that may call the API. If empty, one operator token is generated at the start on loopback; on another
    /// address that is an error.
    pub tokens: Vec<AdminToken>,
}

/// One bearer token.
#[derive(Debug, Clone)]
pub struct AdminToken {
    /// The name of the token's owner, which appears in the audit log.
    pub name: String,
    /// What the token permits.
    pub role: Role,
    /// The sink of an applier's token.
    pub sink: Option<String>,
    /// The token itself.
    pub secret: Secret,
}

/// What a token permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See events without clinical content.
    Viewer,
    /// Everything that a viewer may, and read content, replay and purge.
    Operator,
    /// Register expected sessions, and read nothing.
    Registrar,
    /// Confirm that one sink's target has applied events, and read nothing.
    Applier,
}

impl Role {
    /// Every role.
    pub const ALL: &'static [Self] =
        &[Self::Viewer, Self::Operator, Self::Registrar, Self::Applier];

    /// The role's name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Registrar => "registrar",
            Self::Applier => "applier",
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            insecure: false,
            tls: None,
            label: String::new(),
            console: Console::default(),
            tokens: Vec::new(),
        }
    }
}

impl Word for Role {
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Admin {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let listen = section.get("listen", default.listen);
        let insecure = section.get("insecure", default.insecure);
        let label = section.get("label", default.label);
        let tls = section.section("tls", ServerTls::read);
        let console = section.section("console", Console::read);
        if tls.is_none() && !insecure && !listen.ip().is_loopback() {
            section.problem(
                "listen",
                format!(
                    "{listen} is not on loopback, so tokens and clinical content would travel in the clear; set [admin.tls], or \
                     insecure = true if something in front of it ends TLS"
                ),
            );
        }
        if tls.is_none() && insecure && !listen.ip().is_loopback() {
            section.warn(format!(
                "admin.listen: {listen} is plain HTTP off loopback, so tokens can be read on the way to whatever ends TLS in \
                 front of it; the console shows clinical content there only with admin.console.insecure_reveal = true"
            ));
        }
        let problems = section.problem_count();
        let mut tokens = section.list("tokens", AdminToken::read);
        if let Some(found) = section.env_secret("token") {
            tokens.push(AdminToken::of_env(section, found));
        }
        section.note_empty("tokens", &tokens);
        let names = tokens.iter().map(|token| token.name.as_str());
        section.expect("tokens", check::unique(names));
        let is_missing = tokens.is_empty() && section.problem_count() == problems;
        if is_missing && !listen.ip().is_loopback() {
            section.problem(
                "tokens",
                format!("is missing; {listen} is not on loopback, so name who may use it"),
            );
        }
        Self {
            listen,
            insecure,
            tls,
            label,
            console,
            tokens,
        }
    }
}

impl AdminToken {
    fn of_env(section: &mut Section<'_>, found: Found) -> Self {
        let role = Role::Operator;
        let words = [("name", ENV_NAME), ("role", role.as_str())];
        let (secret, source) = &found;
        if let Err(message) = odd::token(secret) {
            section.problem_at("token", Some(source.clone()), message);
        }
        Self {
            name: ENV_NAME.to_owned(),
            role,
            sink: None,
            secret: section.note_as_item("tokens", &words, found),
        }
    }

    fn read(section: &mut Section<'_>) -> Option<Self> {
        let hint = "say who it belongs to; the name appears in the audit log";
        let name = section.required("name", hint, |name: &String| check::not_empty(name));
        let role = section.required("role", "use viewer, operator, registrar or applier", |_| {
            Ok(())
        });
        let sink = match role {
            Some(Role::Applier) => Some(section.required(
                "sink",
                "name the sink whose target confirms what it has applied",
                |name: &String| check::not_empty(name),
            )?),
            Some(Role::Viewer | Role::Operator | Role::Registrar) | None => None,
        };
        let secret = section.secret_of_table();
        if let Some(secret) = &secret {
            section.expect("value", odd::token(secret));
        }
        Some(Self {
            name: name?,
            role: role?,
            sink,
            secret: secret?,
        })
    }
}
