//! Takes up refused requests whose signature holds now: what came while a secret was wrong is not lost.

use std::time::Duration;

use super::handle::Journal;
use super::{Appended, Error, Unauthentic};
use crate::config::OnStale;
use crate::domain::Notification;
use crate::signature::{self, Secrets};

/// Requests looked at together.
const PAGE: usize = 50;

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reverified {
    /// Requests that were looked at.
    pub checked: usize,
    /// New events.
    pub accepted: usize,
    /// Known already.
    pub duplicates: usize,
    /// Authentic, but no notification: in the quarantine now.
    pub quarantined: usize,
    /// Still not authentic, or stale where that is refused; they stay.
    pub refused: usize,
    /// Authentic, but the store does not take them; they stay.
    pub failed: usize,
}

impl Journal {
    /// Verifies every refused request again under `secrets`. Those that hold are kept as they would have been when they
    /// came: those whose `generated-at` was further than `tolerance` from their receipt by `on_stale`.
    ///
    /// # Errors
    /// When the store as a whole fails. What was taken up before that is; call again for the rest.
    pub async fn reverify(
        &self,
        secrets: &Secrets,
        tolerance: Duration,
        on_stale: OnStale,
    ) -> Result<Reverified, Error> {
        let (mut done, mut after) = (Reverified::default(), 0);
        loop {
            let page = self.unauthentic(after, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(done);
            };
            after = *last;
            let mut taken = Vec::new();
            for (number, request) in page {
                done.checked += 1;
                match self
                    .take_up(request, secrets, tolerance, on_stale, &mut done)
                    .await
                {
                    Ok(true) => taken.push(number),
                    Ok(false) => done.refused += 1,
                    Err(error) if error.is_outage() => return Err(error),
                    Err(error) => {
                        tracing::warn!(error = %error, "the store does not take a refused request that is authentic now; it stays");
                        done.failed += 1;
                    }
                }
            }
            self.forget_unauthentic(taken).await?;
        }
    }

    /// Keeps a request if it is authentic now; says whether.
    async fn take_up(
        &self,
        request: Unauthentic,
        secrets: &Secrets,
        tolerance: Duration,
        on_stale: OnStale,
        done: &mut Reverified,
    ) -> Result<bool, Error> {
        let verified = signature::verify(
            secrets,
            Some(request.signature.as_bytes()),
            Some(request.generated_at.as_bytes()),
            request.body,
        );
        let Ok(verified) = verified else {
            return Ok(false);
        };
        let at = request.received_at;
        let stale = verified.is_stale(at, tolerance);
        if stale && on_stale == OnStale::Reject {
            return Ok(false);
        }
        match Notification::parse(verified.body().clone()) {
            Ok(notification) => match self.append(&verified, notification, at, stale).await? {
                Appended::New(_) => done.accepted += 1,
                Appended::Duplicate(_) => done.duplicates += 1,
            },
            Err(malformed) => {
                self.quarantine(&verified, malformed, at).await?;
                done.quarantined += 1;
            }
        }
        Ok(true)
    }
}
