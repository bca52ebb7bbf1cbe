//! One simulated API: the handle by which a test sets it up and asks it afterwards, and the listener it answers on.
//!
//! What it answers is in `api`.

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

/// How long accepting pauses after it failed, as when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a simulator is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a token holds.
    pub token_lifetime: Duration,
    /// Whether every call must name its provider, as for single-auth-token partners (docs/VENDOR.md, "Tokens").
    pub single_auth: bool,
    /// Whether a session that was never added is known all the same, and completed.
    pub every_session_known: bool,
    /// What the chances of faults are drawn from.
    pub seed: u64,
}

impl Default for Options {
    /// As the vendor: tokens for an hour, for standard partners, and only sessions that exist.
    fn default() -> Self {
        Self {
            token_lifetime: Duration::from_secs(3600),
            single_auth: false,
            every_session_known: false,
            seed: 0,
        }
    }
}

/// A handle to one simulated API. Clones are the same simulator.
#[derive(Clone)]
pub struct Sdp(pub(super) Arc<Inner>);

/// What the handles of one simulator share.
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

    /// Answers on `listener` until `stop`; then every connection is dropped at once, in mid-answer too, as in an outage.
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
            // Without it small answers wait for the peer's acknowledgement. A failure only costs time.
            stream.set_nodelay(true).ok();
            connections.spawn(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service.clone()),
            );
        }
    }

    /// Makes a session known, or replaces the one of the same id.
    pub fn add_session(&self, session: Session) {
        self.0.sessions.add(session);
    }

    /// Puts these faults in force, in place of those that were.
    pub fn set_faults(&self, faults: Faults) {
        self.0.faults.set(faults);
    }

    /// The faults in force, with the times that are left of each.
    pub fn faults(&self) -> Faults {
        self.0.faults.get()
    }

    /// Gives this answer to every call whose path contains `path_contains`, whoever asks; `None` takes it out again.
    pub fn answer_with(&self, path_contains: &str, answer: impl Into<Option<Canned>>) {
        self.0.canned.set(path_contains, answer.into());
    }

    /// A token as a login would give it; empty when none can be signed.
    pub fn token(&self) -> String {
        self.0.tokens.issue("partner").unwrap_or_default()
    }

    /// Ends every token given out so far.
    pub fn revoke_tokens(&self) {
        self.0.tokens.revoke_all();
    }

    /// The calls that came, oldest first; of very many, the newest 100,000.
    pub fn calls(&self) -> Vec<Call> {
        self.0.calls.all()
    }

    /// How many calls had this in their path.
    pub fn count(&self, path_contains: &str) -> usize {
        self.0.calls.count(|call| call.path.contains(path_contains))
    }

    /// How many logins gave out a token for this user.
    pub fn logins_of(&self, user: &str) -> usize {
        self.0.tokens.count_of(user)
    }

    /// How many logins were tried.
    pub fn logins(&self) -> usize {
        self.count(Endpoint::Login.path())
    }

    /// The most calls that were being answered at one time.
    pub fn max_concurrent(&self) -> usize {
        self.0.calls.max_concurrent()
    }

    /// Forgets the calls that came. Sessions, tokens and faults stay.
    pub fn reset(&self) {
        self.0.calls.reset();
    }
}
