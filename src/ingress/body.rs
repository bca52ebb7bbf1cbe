//! Reads a body within its bounds of size, time and memory.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::State;
use super::budget::{Exhausted, MemoryBudget};
use super::rejection::Rejection;
use crate::domain::json;
use crate::net::{self, CodingError};
use crate::signature::SentBody;

/// What came of a body.
pub(super) struct Incoming {
    pub(super) bytes: Bytes,
    /// Why it ended before its sender said that it was complete. It may be complete all the same, when only the mark of
    /// its end is missing: that the signature can tell.
    pub(super) cut_short: Option<Rejection>,
}

/// Reads the body up to the cap. An announced length beyond it is refused unread.
pub(super) async fn read(
    state: &State,
    headers: &HeaderMap,
    body: Body,
) -> Result<Incoming, Rejection> {
    let limit = state.settings.max_body_bytes;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
        return Err(Rejection::TooLarge(limit));
    }
    let deadline = tokio::time::sleep(state.settings.body_timeout);
    collect(body, limit, &state.budget, deadline).await
}

/// Puts the body together. Each piece holds the whole buffer that it was read into, so none is kept but a single one:
/// most bodies come in one piece, which then needs no copy.
async fn collect(
    mut body: Body,
    limit: usize,
    budget: &MemoryBudget,
    deadline: impl Future<Output = ()>,
) -> Result<Incoming, Rejection> {
    let mut reservation = budget.reserve();
    let mut deadline = std::pin::pin!(deadline);
    let (mut first, mut whole, mut size) = (Bytes::new(), BytesMut::new(), 0);
    let cut_short = loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = reservation.cut() => return Err(Rejection::Busy),
            () = &mut deadline => break Some(Rejection::TooSlow),
        };
        let piece = match frame {
            None => break None,
            Some(Err(_)) => break Some(Rejection::BrokenOff),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) => piece,
                Err(_trailers) => continue,
            },
        };
        size += piece.len();
        if size > limit {
            return Err(Rejection::TooLarge(limit));
        }
        reservation
            .grow(piece.len())
            .await
            .map_err(|Exhausted| Rejection::Busy)?;
        if size == piece.len() {
            first = piece;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&piece);
        }
    };
    let bytes = if whole.is_empty() {
        first
    } else {
        whole.freeze()
    };
    Ok(Incoming {
        bytes: reservation.attach(bytes),
        cut_short,
    })
}

/// The body with and without its content coding. A coding that is not known, or that the body does not have although it
/// says so, leaves the bytes as they came.
pub(super) fn without_coding(
    bytes: Bytes,
    headers: &HeaderMap,
    limit: usize,
) -> (SentBody, Option<CodingError>) {
    let codings: Vec<&str> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .map(|value| value.to_str().unwrap_or("?"))
        .collect();
    if codings.is_empty() {
        return (SentBody::plain(bytes), None);
    }
    match net::decode(bytes.clone(), &codings.join(","), limit) {
        // Decoded on its way, and the header was left: what is no coded body may be decoded to anything.
        Ok(decoded) if !json::is_json(&decoded) && json::is_json(&bytes) => {
            (SentBody::plain(bytes), None)
        }
        Ok(decoded) => (SentBody::coded(bytes, decoded), None),
        Err(error) => (SentBody::plain(bytes), Some(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use super::*;

    /// A piece of one byte that holds a buffer for as long as it is kept.
    struct Piece {
        _buffer: Arc<()>,
    }

    impl AsRef<[u8]> for Piece {
        fn as_ref(&self) -> &[u8] {
            b"x"
        }
    }

    async fn collected(body: Body, budget: &MemoryBudget) -> Bytes {
        let incoming = collect(body, 1000, budget, std::future::pending()).await;
        match incoming {
            Ok(incoming) => incoming.bytes,
            Err(rejection) => panic!("it is within the limit: {rejection}"),
        }
    }

    #[tokio::test]
    async fn a_body_in_many_pieces_does_not_hold_what_they_were_read_into() {
        let buffers = Arc::new(());
        let pieces = (0..1000).map({
            let buffers = Arc::clone(&buffers);
            move |_| {
                // This one, the one of the test, the first piece and the last.
                assert!(Arc::strong_count(&buffers) <= 4, "pieces are held");
                Ok::<_, Infallible>(Bytes::from_owner(Piece {
                    _buffer: Arc::clone(&buffers),
                }))
            }
        });
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let budget = MemoryBudget::new(1000);
        let whole = collected(body, &budget).await;
        assert_eq!(whole, "x".repeat(1000));
        assert_eq!(Arc::strong_count(&buffers), 1);
        assert_eq!(
            budget.reserve().grow(1).await,
            Err(Exhausted),
            "every byte is counted"
        );
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let piece = Bytes::from(vec![b'x'; 1000]);
        let whole = collected(Body::from(piece.clone()), &MemoryBudget::new(1000)).await;
        assert_eq!(whole.as_ptr(), piece.as_ptr());
    }
}
