//! Takes up refused requests whose signature holds now: what came while a secret was wrong is not lost.

use std::time::Duration;

use super::handle::Journal;
use super::{Appended, Error, Unauthentic};
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
    /// Still not authentic; they stay.
    pub refused: usize,
}

impl Journal {
    /// Verifies every refused request again under `secrets`. Those that hold are kept as they would have been when they
    /// came, marked stale where their `generated-at` was further than `tolerance` from their receipt.
    ///
    /// # Errors
    /// When the store fails. What was taken up before that is; call again for the rest.
    pub async fn reverify(
        &self,
        secrets: &Secrets,
        tolerance: Duration,
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
                if self.take_up(request, secrets, tolerance, &mut done).await? {
                    taken.push(number);
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
        done: &mut Reverified,
    ) -> Result<bool, Error> {
        let verified = signature::verify(
            secrets,
            Some(request.signature.as_bytes()),
            Some(request.generated_at.as_bytes()),
            request.body,
        );
        let Ok(verified) = verified else {
            done.refused += 1;
            return Ok(false);
        };
        let at = request.received_at;
        match Notification::parse(verified.body().clone()) {
            Ok(notification) => {
                let stale = verified.is_stale(at, tolerance);
                match self.append(&verified, notification, at, stale).await? {
                    Appended::New(_) => done.accepted += 1,
                    Appended::Duplicate(_) => done.duplicates += 1,
                }
            }
            Err(malformed) => {
                self.quarantine(&verified, malformed, at).await?;
                done.quarantined += 1;
            }
        }
        Ok(true)
    }
}
