//! A simulated API: the handle with which a test sets it up and inspects it, and its listener.
//!
//! Its answers are made in `api`.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::calls::Calls;
use super::canned::{Canned, InPlace};
use super::misbehave::InForce;
use super::sessions::Sessions;
use super::tokens::Tokens;
use super::{Call, Endpoint, Faults, Session, api};

/// The pause after a failed accept, for instance when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The options of a simulator.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// Whether every call must name its provider, as for partners with a single token (docs/VENDOR.md, "Tokens").
    pub single_auth: bool,
    /// Whether a session that was never added is treated as known and completed.
    pub every_session_known: bool,
    /// The seed for the probabilities of faults.
    pub seed: u64,
}

impl Default for Options {
    /// Like the vendor: tokens are valid for an hour, partners are standard ones, and only added sessions exist.
    fn default() -> Self {
        Self {
            token_lifetime: Duration::from_secs(3600),
            single_auth: false,
            every_session_known: false,
            seed: 0,
        }
    }
}

/// A handle to a simulated API. Clones share the simulator.
#[derive(Clone)]
pub struct Sdp(pub(super) Arc<Inner>);

/// The state that the handles of one simulator share.
pub(super) struct Inner {
    pub(super) single_auth: bool,
    pub(super) sessions: Sessions,
    pub(super) tokens: Tokens,
    pub(super) calls: Calls,
    pub(super) faults: InForce,
    pub(super) canned: InPlace,
}

impl Sdp {
    /// A simulator without sessions or faults.
    pub fn new(options: &Options) -> Self {
        Self(Arc::new(Inner {
            single_auth: options.single_auth,
            sessions: Sessions::new(options.every_session_known),
            tokens: Tokens::new(options.token_lifetime),
            calls: Calls::new(),
            faults: InForce::new(options.seed),
            canned: InPlace::default(),
        }))
    }

    /// Serves requests on `listener` until `stop` is cancelled. Then every connection is dropped at once, even during
    /// an answer, as in an outage.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let service = TowerToHyperService::new(api::router(self));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // Without this option small answers wait for the peer's acknowledgement. A failure only costs time.
            stream.set_nodelay(true).ok();
            connections.spawn(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service.clone()),
            );
        }
    }

    /// Adds a session, or replaces the one with the same id.
    pub fn add_session(&self, session: Session) {
        self.0.sessions.add(session);
    }

    /// Replaces the faults in force.
    pub fn set_faults(&self, faults: Faults) {
        self.0.faults.set(faults);
    }

    /// The faults in force, each with its remaining number of times.
    pub fn faults(&self) -> Faults {
        self.0.faults.get()
    }

    /// Gives a fixed answer to every call whose path contains `path_contains`, without checking the caller; `None`
    /// removes it.
    pub fn answer_with(&self, path_contains: &str, answer: impl Into<Option<Canned>>) {
        self.0.canned.set(path_contains, answer.into());
    }

    /// A token as a login would issue it; empty if none can be signed.
    pub fn token(&self) -> String {
        self.0.tokens.issue("partner").unwrap_or_default()
    }

    /// Invalidates all tokens issued so far.
    pub fn revoke_tokens(&self) {
        self.0.tokens.revoke_all();
    }

    /// The recorded calls, oldest first, at most the newest 100,000.
    pub fn calls(&self) -> Vec<Call> {
        self.0.calls.all()
    }

    /// The number of recorded calls whose path contains this text.
    pub fn count(&self, path_contains: &str) -> usize {
        self.0.calls.count(|call| call.path.contains(path_contains))
    }

    /// The number of logins that issued a token for this user.
    pub fn logins_of(&self, user: &str) -> usize {
        self.0.tokens.count_of(user)
    }

    /// The number of attempted logins.
    pub fn logins(&self) -> usize {
        self.count(Endpoint::Login.path())
    }

    /// The highest number of concurrent calls.
    pub fn max_concurrent(&self) -> usize {
        self.0.calls.max_concurrent()
    }

    /// Forgets the recorded calls. Sessions, tokens and faults stay.
    pub fn reset(&self) {
        self.0.calls.reset();
    }
}
