//! Takes up refused requests whose signature holds now: what came while a secret was wrong is not lost.

use std::time::Duration;

use super::handle::Journal;
use super::{Appended, Error, Received, RejectedRequest};
use crate::config::OnStale;
use crate::domain::json;
use crate::net;
use crate::signature::{self, Claim, Secrets, SentBody, Verified};

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

/// By what it is decided now what was authentic then.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The signing secrets.
    pub secrets: &'a Secrets,
    /// How far `generated-at` may have been from the receipt.
    pub tolerance: Duration,
    /// What happens beyond that.
    pub on_stale: OnStale,
    /// Largest body without its content coding, in bytes.
    pub max_body_bytes: usize,
}

impl Journal {
    /// Verifies every refused request again. Those that hold are kept as they would have been when they came.
    ///
    /// # Errors
    /// When the store as a whole fails. What was taken up before that is; call again for the rest.
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
                    Ok(false) => done.refused += 1,
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

    /// Keeps a request if it is authentic now; says whether.
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

/// The codings that a body may have come with. Which one it was is not kept: the signature tells.
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
        // What is no coded body at all may be decoded to anything.
        .filter(|decoded| json::is_json(decoded))
        .chain([body.clone()])
        .map(|decoded| SentBody::coded(body.clone(), decoded))
        .find_map(|body| signature::verify(rules.secrets, &claim, &body).ok())
}
