//! Decodes the content codings of HTTP bodies (RFC 9110, 8.4) within a size limit: gzip, deflate and br.
//!
//! The functions are pure. The caller decides whether a coding was asked for and what a failure means.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// The codings that [`decode`] knows, as `Accept-Encoding` names them.
pub const ACCEPTED_CODINGS: &str = "gzip, deflate, br";

/// The limit of codings that one body may have on top of each other. More are treated as an attack.
const MOST: usize = 4;
/// The size of the brotli decoder's buffer.
const BUFFER: usize = 16 * 1024;

/// Why a body was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// The body has an unknown coding, or too many codings.
    #[error("the content coding is not known; gzip, deflate and br are")]
    Unknown,
    /// The decoded body is larger than allowed.
    #[error("the decoded body is larger than {0} bytes")]
    TooLarge(usize),
    /// The bytes are not valid in the coding that is named.
    #[error("the body cannot be decoded as its content coding says")]
    Broken,
}

/// Removes the codings that `Content-Encoding` lists. The result may have at most `limit` bytes. A body without any
/// coding is returned unchanged.
///
/// # Errors
/// [`CodingError`] when a coding is not known, the bytes are broken, or the decoded body is too large.
pub fn decode(body: Bytes, content_encoding: &str, limit: usize) -> Result<Bytes, CodingError> {
    let codings = || {
        let names = content_encoding.split(',').map(str::trim);
        names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
    };
    if codings().count() > MOST {
        return Err(CodingError::Unknown);
    }
    // The last coding in the list was applied last.
    codings().rev().try_fold(body, |body, coding| {
        match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => read(MultiGzDecoder::new(&*body), limit),
            // The coding is defined as zlib; some senders send raw deflate without zlib's header.
            "deflate" => match read(ZlibDecoder::new(&*body), limit) {
                Err(CodingError::Broken) => read(DeflateDecoder::new(&*body), limit),
                decoded => decoded,
            },
            "br" => read(
                brotli_decompressor::Decompressor::new(&*body, BUFFER),
                limit,
            ),
            _ => Err(CodingError::Unknown),
        }
    })
}

fn read(decoder: impl Read, limit: usize) -> Result<Bytes, CodingError> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoded = Vec::new();
    decoder
        .take(most)
        .read_to_end(&mut decoded)
        .map_err(|_| CodingError::Broken)?;
    if decoded.len() > limit {
        return Err(CodingError::TooLarge(limit));
    }
    Ok(Bytes::from(decoded))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn encode(coding: &str, body: &[u8]) -> Bytes {
        let level = Compression::default();
        let encoded = match coding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(body).expect("written");
                encoder.finish().expect("finished")
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(body).expect("written");
                encoder.finish().expect("finished")
            }
            "raw deflate" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(body).expect("written");
                encoder.finish().expect("finished")
            }
            _ => {
                let mut encoded = Vec::new();
                let params = brotli::enc::BrotliEncoderParams::default();
                brotli::BrotliCompress(&mut &*body, &mut encoded, &params).expect("written");
                encoded
            }
        };
        Bytes::from(encoded)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_was_encoded_is_decoded(body in proptest::collection::vec(any::<u8>(), 0..2000)) {
            for (coding, name) in [("gzip", "gzip"), ("gzip", "X-GZIP"), ("deflate", "deflate"), ("br", "br")] {
                let decoded = decode(encode(coding, &body), name, body.len());
                prop_assert_eq!(decoded.as_deref(), Ok(&*body), "{}", name);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), coding in "gzip|deflate|br|gzip, br") {
            let decoded = decode(Bytes::from(body), &coding, 1000);
            prop_assert!(decoded.map_or(true, |body| body.len() <= 1000));
        }
    }

    #[test]
    fn codings_are_taken_off_in_the_order_in_which_they_were_put_on() {
        let body = b"{\"a\": 1}";
        let twice = encode("br", &encode("gzip", body));
        assert_eq!(decode(twice, "gzip, br", 100).as_deref(), Ok(&body[..]));
        let raw = encode("raw deflate", body);
        assert_eq!(decode(raw, "deflate", 100).as_deref(), Ok(&body[..]));
        for none in ["", "identity", " , Identity"] {
            let plain = Bytes::from_static(body);
            assert_eq!(decode(plain, none, 0).as_deref(), Ok(&body[..]));
        }
    }

    #[test]
    fn what_grows_beyond_the_limit_is_cut_and_what_is_broken_or_unknown_is_said() {
        let bomb = vec![b'a'; 1_000_000];
        for coding in ["gzip", "deflate", "br"] {
            let encoded = encode(coding, &bomb);
            assert_eq!(
                decode(encoded.clone(), coding, 1000),
                Err(CodingError::TooLarge(1000))
            );
            let cut = encoded.slice(..encoded.len() / 2);
            assert_eq!(
                decode(cut, coding, 2_000_000),
                Err(CodingError::Broken),
                "{coding}"
            );
        }
        let body = || Bytes::from_static(b"{}");
        assert_eq!(decode(body(), "zstd", 10), Err(CodingError::Unknown));
        assert_eq!(
            decode(body(), "br,br,br,br,br", 10),
            Err(CodingError::Unknown)
        );
    }
}
