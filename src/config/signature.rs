//! `[signature]`: the secrets that notifications are signed with, and what to do with stale ones.

use std::time::Duration;

use super::NamedSecret;

/// How notifications are verified.
#[derive(Debug, Clone)]
pub struct Signature {
    /// All that are valid now; several during a rotation. At least one.
    pub secrets: Vec<NamedSecret>,
    /// How far `generated-at` may be from now before a notification counts as stale.
    pub tolerance: Duration,
    /// What happens to a stale one.
    pub on_stale: OnStale,
}

/// What happens to an authentic notification whose `generated-at` is too far from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStale {
    /// Kept and marked, answered 200.
    Keep,
    /// Answered 401, not kept. It is then lost, since the vendor does not send again.
    Reject,
}

impl Default for Signature {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            tolerance: Duration::from_secs(5 * 60),
            on_stale: OnStale::Keep,
        }
    }
}
