//! Authentication and authorisation of calls: bearer tokens, each with a role.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State as Shared};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::State;
use super::error::Error;
use crate::config::{AdminToken, Role};
use crate::domain::EventId;
use crate::journal::AuditEntry;
use crate::net::Peer;

/// The tokens that are valid now, as hashes.
#[derive(Clone)]
pub struct Tokens(Vec<Known>);

#[derive(Clone)]
struct Known {
    hash: [u8; 32],
    caller: Caller,
}

/// The caller, as its token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name, which appears in the audit log.
    pub name: String,
    /// The token's role.
    pub role: Role,
    /// The sink for whose target the token confirms events.
    pub sink: Option<String>,
    /// The reason for the call in the caller's own words, which appears in the audit log.
    pub reason: Option<String>,
}

impl Caller {
    /// Sets the reason for the call, if one is given.
    #[must_use]
    pub fn for_reason(self, reason: Option<String>) -> Self {
        let given = reason.map(|reason| reason.trim().chars().take(LONGEST_REASON).collect());
        let given = given.filter(|reason: &String| !reason.is_empty());
        Self {
            reason: given.or(self.reason),
            ..self
        }
    }
}

/// A reason is cut off after this many characters.
pub(crate) const LONGEST_REASON: usize = 500;
/// The header that gives the reason for a call.
const REASON: &str = "x-audit-reason";

/// The roles that may use a route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs(&'static [Role]);

impl Needs {
    pub(super) const ANY: Self = Self(Role::ALL);
    pub(super) const VIEWER: Self = Self(&[Role::Viewer, Role::Operator]);
    pub(super) const OPERATOR: Self = Self(&[Role::Operator]);
    pub(super) const REGISTRAR: Self = Self(&[Role::Registrar, Role::Operator]);
    pub(super) const APPLIER: Self = Self(&[Role::Applier, Role::Operator]);
}

impl Needs {
    /// The names of these roles.
    pub(super) fn words(self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|role| role.as_str())
    }

    /// Whether some role may not use the route.
    pub(super) fn excludes_some(self) -> bool {
        self.0.len() < Role::ALL.len()
    }
}

impl Tokens {
    /// Makes the set of these tokens.
    pub fn new(tokens: &[AdminToken]) -> Self {
        let known = |token: &AdminToken| Known {
            hash: hash(token.secret.expose()),
            caller: Caller {
                name: token.name.clone(),
                role: token.role,
                sink: token.sink.clone(),
                reason: None,
            },
        };
        Self(tokens.iter().map(known).collect())
    }

    /// The token with this name: its hash, to which a session of the console is bound, and its caller.
    pub(crate) fn named(&self, name: &str) -> Option<([u8; 32], &Caller)> {
        let found = self.0.iter().find(|known| known.caller.name == name)?;
        Some((found.hash, &found.caller))
    }

    /// The caller to whom a token belongs. Hashes are compared, so the time that the comparison takes reveals nothing
    /// about the token.
    pub fn find(&self, token: &str) -> Option<&Caller> {
        let presented = hash(token);
        self.0
            .iter()
            .find(|known| known.hash == presented)
            .map(|known| &known.caller)
    }
}

/// Lets a request with a known token through, and passes its caller to the handlers.
pub(super) async fn require_token(
    Shared(state): Shared<State>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let caller = {
        let tokens = state.tokens.load();
        bearer(request.headers()).and_then(|token| tokens.find(token).cloned())
    };
    let Some(caller) = caller else {
        refused(&state, Call::of(&request), None).await;
        return Err(Error::Unauthorized);
    };
    let reason = request.headers().get(REASON);
    let reason = reason.and_then(|reason| reason.to_str().ok());
    let caller = caller.for_reason(reason.map(str::to_owned));
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Lets a request through if its token has the role. Runs inside [`require_token`].
pub(super) async fn require_role(
    Shared((state, needs)): Shared<(State, Needs)>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let caller = request.extensions().get::<Caller>().cloned();
    match caller {
        Some(caller) if needs.0.contains(&caller.role) => Ok(next.run(request).await),
        Some(caller) => {
            refused(&state, Call::of(&request), Some(&caller)).await;
            Err(Error::Forbidden {
                name: caller.name,
                role: caller.role.as_str(),
                needs: needs.words().collect::<Vec<_>>().join(" or "),
            })
        }
        None => Err(Error::Unauthorized),
    }
}

/// The parts of a call that may be logged.
struct Call {
    method: Method,
    /// The route. The path is not used because it may name a session.
    route: String,
    event: Option<EventId>,
    /// The address of the connection's peer, which is a proxy's if one is in front.
    peer: Option<SocketAddr>,
}

impl Call {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        Self {
            method: request.method().clone(),
            route: route
                .map_or("a path that is not there", MatchedPath::as_str)
                .to_owned(),
            event: request
                .uri()
                .path()
                .split('/')
                .find_map(|part| part.parse().ok()),
            peer: request.extensions().get().map(|Peer(address)| *address),
        }
    }

    /// Whether the call is for clinical content.
    fn clinical(&self) -> bool {
        CLINICAL.iter().any(|end| self.route.ends_with(end))
    }
}

/// Counts and logs a refused call, and writes it to the audit log if it is for clinical content. Anybody can make calls
/// without a token, so only the first few of those are logged, and then one every ten seconds.
async fn refused(state: &State, call: Call, caller: Option<&Caller>) {
    let code = if caller.is_some() { "403" } else { "401" };
    state.metrics.admin_refused(code);
    let skipped = match caller {
        Some(_) => 0,
        None => match state.refusals.admit(call.clinical()) {
            Some(skipped) => skipped,
            None => return,
        },
    };
    let name = caller.map_or("-", |caller| &caller.name);
    tracing::warn!(
        method = %call.method,
        route = call.route,
        code,
        caller = name,
        peer = call.peer.map(tracing::field::display),
        skipped,
        "an admin call was denied"
    );
    if !call.clinical() {
        return;
    }
    let Call {
        method,
        route,
        event,
        ..
    } = call;
    let entry = AuditEntry {
        at: state.clock.now(),
        actor: caller.map_or_else(|| "unknown".to_owned(), |caller| caller.name.clone()),
        action: format!("refused ({code}): {method} {route}"),
        event,
        reason: None,
    };
    if let Err(error) = state.records().audit(entry).await {
        tracing::error!(error = %error, "a refused call could not be written to the audit log");
    }
}

/// The endings of the paths of clinical content.
const CLINICAL: [&str; 2] = ["/payload", "/resources/{n}"];

/// The number of refusals in a row that are logged before the rate drops to one in [`EVERY`].
const BURST: u32 = 20;
const EVERY: Duration = Duration::from_secs(10);

/// Limits how many refusals are logged. Calls for clinical content have a limit of their own, so that other calls
/// cannot keep them out of the audit log.
#[derive(Debug, Clone, Default)]
pub struct DenialLimit(Arc<[Mutex<Allowance>; 2]>);

#[derive(Debug, Default)]
struct Allowance {
    /// The number of logged refusals, less those that the passed time has made up for.
    said: u32,
    /// The time up to which passed time was counted.
    since: Option<Instant>,
    skipped: u64,
}

impl DenialLimit {
    /// Decides whether to log a refusal: the number of refusals that were skipped since the last logged one, or `None`
    /// if this one is skipped as well.
    fn admit(&self, clinical: bool) -> Option<u64> {
        self.0[usize::from(clinical)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(Instant::now())
    }
}

impl Allowance {
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let since = *self.since.get_or_insert(now);
        let whole = now.duration_since(since).as_secs() / EVERY.as_secs();
        let regained = u32::try_from(whole).unwrap_or(u32::MAX);
        if regained >= self.said {
            self.said = 0;
            self.since = Some(now);
        } else {
            self.said -= regained;
            self.since = Some(since + EVERY * regained);
        }
        if self.said >= BURST {
            self.skipped += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.skipped))
    }
}

/// Writes an action to the audit log before the caller performs it. If this fails, the action must not be performed.
pub(crate) async fn audit(
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
        reason: caller.reason.clone(),
    };
    Ok(state.records().audit(entry).await?)
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
    fn a_few_refusals_are_said_at_once_and_then_one_in_ten_seconds() {
        let mut allowance = Allowance::default();
        let start = Instant::now();
        let mut said = |after: u64, calls: u32| -> Vec<u64> {
            let now = start + Duration::from_secs(after);
            (0..calls).filter_map(|_| allowance.admit(now)).collect()
        };
        assert_eq!(said(0, 30), [0; BURST as usize]);
        assert!(said(9, 5).is_empty());
        assert_eq!(said(10, 3), [15]);
        assert_eq!(said(35, 3), [2, 0]);
        assert_eq!(said(10_000, 30).len(), BURST as usize);
    }

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
