//! Reads a request body within the limits on size, time and memory.

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

/// The body of a request, as far as it was received.
pub(super) struct Incoming {
    pub(super) bytes: Bytes,
    /// Why reading ended before the end of the body was seen. The body may still be complete, with only the end marker
    /// missing; the signature check tells.
    pub(super) cut_short: Option<Rejection>,
}

/// Reads the body up to the size limit. A `Content-Length` above the limit is rejected without reading.
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

/// Joins the pieces of the body. Each piece keeps alive the whole buffer that it was read into, so pieces are copied
/// out and not held. A body that comes in a single piece, as most do, is not copied.
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

/// The body with and without its content coding. When the coding is unknown, or when the body is not in the coding that
/// its header names, the bytes stay as received.
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
        // A proxy has decoded the body on its way and left the header. Decoding plain bytes again can yield garbage.
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

    /// A piece of one byte that keeps a buffer alive for as long as it is held.
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
                // The clones held by the test, by this closure, by the first piece and by the last one.
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
