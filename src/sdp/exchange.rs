//! One request and its answer: read within the size limit, decoded, and classified.

use reqwest::RequestBuilder;
use reqwest::header::ACCEPT_ENCODING;

use bytes::Bytes;

use super::{Failure, Kind};
use crate::net::{ACCEPTED_CODINGS, BodyError, CodingError, describe, read_decoded, retry_after};

/// A successful answer's body as received: JSON.
#[derive(Clone)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Sends a request and reads its answer, within the client's timeout.
pub(super) async fn exchange(
    request: RequestBuilder,
    max_body_bytes: usize,
) -> Result<Fetched, Failure> {
    let response = request
        .header(ACCEPT_ENCODING, ACCEPTED_CODINGS)
        .send()
        .await
        .map_err(|error| Failure::unreachable(describe(&error)))?;
    let (status, after) = (response.status(), retry_after(response.headers()));
    let read = read_decoded(response, max_body_bytes).await;
    if !status.is_success() {
        // The body of an error is optional, so a failure to read it is ignored.
        let body = read.unwrap_or_default();
        return Err(Failure::of_answer(status.as_u16(), &body, after));
    }
    match read {
        Ok(body) => Ok(Fetched {
            status: status.as_u16(),
            body,
        }),
        Err(error) => {
            let kind = match error {
                BodyError::TooLarge(_) | BodyError::Coding(CodingError::TooLarge(_)) => Kind::Final,
                BodyError::Broken(_) => Kind::Outage,
                BodyError::Coding(CodingError::Unknown | CodingError::Broken) => Kind::Retry,
            };
            let reason = match &error {
                BodyError::Broken(cause) => format!("the answer broke off: {}", describe(cause)),
                BodyError::TooLarge(_) | BodyError::Coding(_) => error.to_string(),
            };
            Err(Failure::new(kind, Some(status.as_u16()), reason))
        }
    }
}
