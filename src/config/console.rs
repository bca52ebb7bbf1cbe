//! `[admin.console]`: how long somebody who has signed in to the console may stay.

use std::time::Duration;

use super::check;
use super::reader::Section;

/// How long a session of the console lasts.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// After so long without a request it ends.
    pub idle_timeout: Duration,
    /// After so long it ends in any case.
    pub max_session: Duration,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30 * 60),
            max_session: Duration::from_secs(12 * 3600),
        }
    }
}

impl Console {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            idle_timeout: section.checked("idle_timeout", default.idle_timeout, check::not_zero),
            max_session: section.checked("max_session", default.max_session, check::not_zero),
        }
    }
}
