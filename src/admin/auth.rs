//! Who calls, and what they may do: bearer tokens with a role.

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

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name; stands in the audit log.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The sink whose target it confirms for.
    pub sink: Option<String>,
    /// Why it calls, in the caller's own words: stands in the audit log.
    pub reason: Option<String>,
}

impl Caller {
    /// The same, calling for this reason, if one is given.
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

/// Characters of a reason that are kept.
pub(crate) const LONGEST_REASON: usize = 500;
/// The header that says why a call is made.
const REASON: &str = "x-audit-reason";

/// Which roles may use a route.
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
    /// The words of these roles.
    pub(super) fn words(self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|role| role.as_str())
    }

    /// Whether there are roles that may not.
    pub(super) fn excludes_some(self) -> bool {
        self.0.len() < Role::ALL.len()
    }
}

impl Tokens {
    /// The set of these tokens.
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

    /// The token of this name: its hash, which a session of the console is bound to, and whose it is.
    pub(crate) fn named(&self, name: &str) -> Option<([u8; 32], &Caller)> {
        let found = self.0.iter().find(|known| known.caller.name == name)?;
        Some((found.hash, &found.caller))
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

/// Lets a request through whose token has the role. Stands inside of [`require_token`].
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

/// What of a call may be said.
struct Call {
    method: Method,
    /// The route rather than the path, which may name a session.
    route: String,
    event: Option<EventId>,
    /// The address of the connection: that of what stands in front, where something does.
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

    /// Whether it is for clinical content.
    fn clinical(&self) -> bool {
        CLINICAL.iter().any(|end| self.route.ends_with(end))
    }
}

/// Counts and logs a call that was refused, and on the paths of clinical content writes it to the audit log as well. Who
/// has no token may call as often as he likes, so of those only the first few in a row are said, and then one in ten
/// seconds.
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

/// What paths of clinical content end in.
const CLINICAL: [&str; 2] = ["/payload", "/resources/{n}"];

/// How many refusals in a row are said before the pace is one in [`EVERY`].
const BURST: u32 = 20;
const EVERY: Duration = Duration::from_secs(10);

/// Bounds how many refusals are said. Those for clinical content have an allowance of their own, so that no others can
/// keep one of them out of the audit log.
#[derive(Debug, Clone, Default)]
pub struct DenialLimit(Arc<[Mutex<Allowance>; 2]>);

#[derive(Debug, Default)]
struct Allowance {
    /// Said and not yet made up for by time that has passed.
    said: u32,
    /// Up to when time was counted.
    since: Option<Instant>,
    skipped: u64,
}

impl DenialLimit {
    /// How many were passed over since the last one that was said; `None` where this one is.
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

/// Writes down what a caller is about to do. Where this fails, it must not be done.
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
