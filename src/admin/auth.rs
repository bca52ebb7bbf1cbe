//! Who calls, and what they may do: bearer tokens with one of two roles.

use std::fmt;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::State;
use super::error::Error;
use crate::config::{AdminToken, Role};
use crate::domain::EventId;
use crate::journal::AuditEntry;

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

/// Lets a request with a known token through, and tells the handlers whose it is.
pub(super) async fn require_token(
    Shared(state): Shared<State>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let tokens = state.tokens.load();
    let caller = bearer(request.headers())
        .and_then(|token| tokens.find(token))
        .ok_or(Error::Unauthorized)?
        .clone();
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Lets an operator's request through. Stands inside of [`require_token`].
pub(super) async fn require_operator(request: Request, next: Next) -> Result<Response, Error> {
    match request.extensions().get::<Caller>() {
        Some(caller) if caller.role == Role::Operator => Ok(next.run(request).await),
        Some(caller) => Err(Error::Forbidden(caller.name.clone())),
        None => Err(Error::Unauthorized),
    }
}

/// Writes down what a caller is about to do. Where this fails, it must not be done.
pub(super) async fn audit(
    state: &State,
    caller: &Caller,
    action: String,
    event: Option<EventId>,
) -> Result<(), Error> {
    let entry = AuditEntry {
        at: state.clock.now(),
        actor: caller.name.clone(),
        action,
        event,
    };
    Ok(state.journal.audit(entry).await?)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("Bearer")
        .then_some(token.trim())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_letter_case() {
        let token = |value: &'static str| {
            let headers = HeaderMap::from_iter([(
                header::AUTHORIZATION,
                axum::http::HeaderValue::from_static(value),
            )]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(token("bearer  abc").as_deref(), Some("abc"));
        assert_eq!(token("Basic abc"), None);
        assert_eq!(token("abc"), None);
    }
}
