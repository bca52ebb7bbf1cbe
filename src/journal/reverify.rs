//! Verifies rejected requests again and appends those that are authentic now: notifications that arrive while a secret
//! is wrong are not lost.

use std::time::Duration;

use super::handle::Journal;
use super::{Appended, Error, Received, RejectedRequest};
use crate::config::OnStale;
use crate::domain::json;
use crate::net;
use crate::signature::{self, Claim, Secrets, SentBody, Verified};

/// The number of requests that are read together.
const PAGE: usize = 50;

/// The result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reverified {
    /// Requests that were verified again.
    pub checked: usize,
    /// New events.
    pub accepted: usize,
    /// Duplicates of stored events.
    pub duplicates: usize,
    /// Authentic, but not a notification: now in quarantine.
    pub quarantined: usize,
    /// Still not authentic, or stale where stale notifications are rejected. They stay among the rejected.
    pub rejected: usize,
    /// Authentic, but the store does not take them. They stay among the rejected.
    pub failed: usize,
}

/// The rules for verifying requests again.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The signing secrets.
    pub secrets: &'a Secrets,
    /// The largest difference allowed between `generated-at` and the receipt.
    pub tolerance: Duration,
    /// What happens to a notification outside the tolerance.
    pub on_stale: OnStale,
    /// The largest body after decoding, in bytes.
    pub max_body_bytes: usize,
}

impl Journal {
    /// Verifies every rejected request again. Authentic ones are stored as they would have been at their receipt.
    ///
    /// # Errors
    /// When the store as a whole fails. What was stored before stays stored; call again for the rest.
    pub async fn reverify(&self, rules: Rules<'_>) -> Result<Reverified, Error> {
        let (mut done, mut after) = (Reverified::default(), 0);
        loop {
            let page = self.records().rejected(after, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(done);
            };
            after = *last;
            let mut taken = Vec::new();
            for (number, request) in page {
                done.checked += 1;
                match self.take_up(request, rules, &mut done).await {
                    Ok(true) => taken.push(number),
                    Ok(false) => done.rejected += 1,
                    Err(error) if error.is_outage() => return Err(error),
                    Err(error) => {
                        tracing::warn!(error = %error, "the store does not take a rejected request that is authentic now; it stays among the rejected");
                        done.failed += 1;
                    }
                }
            }
            self.records().forget_rejected(taken).await?;
        }
    }

    /// Stores a request if it is authentic now, and says whether it did.
    async fn take_up(
        &self,
        request: RejectedRequest,
        rules: Rules<'_>,
        done: &mut Reverified,
    ) -> Result<bool, Error> {
        let Some(verified) = verified(&request, rules) else {
            return Ok(false);
        };
        let at = request.received_at;
        let stale = verified.is_stale(at, rules.tolerance);
        if stale && rules.on_stale == OnStale::Reject {
            return Ok(false);
        }
        let received = Received::read(&verified, at, stale);
        let appended = self.append(&received).await?.appended;
        match (received.malformed(), appended) {
            (Some(_), _) => done.quarantined += 1,
            (None, Appended::New(_)) => done.accepted += 1,
            (None, Appended::Duplicate(_)) => done.duplicates += 1,
        }
        Ok(true)
    }
}

/// The content codings to try. The coding of the request is not stored; the signature tells which one is right.
const CODINGS: [&str; 4] = ["", "gzip", "deflate", "br"];

fn verified(request: &RejectedRequest, rules: Rules<'_>) -> Option<Verified> {
    let claim = Claim::of(
        [request.signature.as_bytes()],
        [request.generated_at.as_bytes()],
    );
    let body = &request.body;
    CODINGS
        .iter()
        .filter_map(|coding| net::decode(body.clone(), coding, rules.max_body_bytes).ok())
        // Decoding bytes that are not in the coding can yield garbage.
        .filter(|decoded| json::is_json(decoded))
        .chain([body.clone()])
        .map(|decoded| SentBody::coded(body.clone(), decoded))
        .find_map(|body| signature::verify(rules.secrets, &claim, &body).ok())
}
