//! Follows the framing of a connection's bytes just far enough to tell a request that has begun from an idle
//! connection. It parses no header and validates nothing; hyper does that.

use std::collections::HashSet;

/// The connection preface of HTTP/2, which a client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The length of an HTTP/2 frame's header (RFC 9113, section 4.1).
const FRAME_HEADER: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// The protocol of a connection, and the position within it after the bytes so far.
#[derive(Debug)]
pub(super) enum Framing {
    /// This many bytes have come, and all of them match HTTP/2's preface.
    Opening(usize),
    /// HTTP/1, or a protocol other than HTTP.
    Http1,
    /// HTTP/2, after the preface.
    Http2(Frames),
}

/// A position between or in the frames of HTTP/2.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; FRAME_HEADER],
    header_bytes: usize,
    payload_left: usize,
    /// A header block has begun, and the frame that ends it has not come.
    is_in_block: bool,
    /// Streams whose request has begun and has not come completely.
    unfinished: HashSet<u32>,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self::Opening(0)
    }

    /// Follows further bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        if let Self::Opening(seen) = self {
            let expected = &PREFACE[*seen..];
            let common = expected.len().min(bytes.len());
            if expected[..common] != bytes[..common] {
                *self = Self::Http1;
            } else if common == expected.len() {
                *self = Self::Http2(Frames::default());
                bytes = &bytes[common..];
            } else {
                *seen += common;
            }
        }
        if let Self::Http2(frames) = self {
            frames.follow(bytes);
        }
    }

    /// Whether all requests have come completely, as far as this module can tell: in HTTP/1 only hyper knows.
    pub(super) fn has_whole_requests(&self) -> bool {
        match self {
            Self::Opening(_) | Self::Http1 => false,
            Self::Http2(frames) => frames.unfinished.is_empty(),
        }
    }

    /// Whether the bytes so far end within a frame, a header block or a request's head. In HTTP/1 the end of a head is
    /// not looked for here, so any byte counts as the beginning of a request until hyper has read it.
    pub(super) fn is_within(&self) -> bool {
        match self {
            Self::Opening(seen) => *seen > 0,
            Self::Http1 => true,
            Self::Http2(frames) => {
                frames.header_bytes > 0 || frames.payload_left > 0 || frames.is_in_block
            }
        }
    }
}

impl Frames {
    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let payload = self.payload_left.min(bytes.len());
                self.payload_left -= payload;
                bytes = &bytes[payload..];
                continue;
            }
            let missing = (FRAME_HEADER - self.header_bytes).min(bytes.len());
            self.header[self.header_bytes..][..missing].copy_from_slice(&bytes[..missing]);
            self.header_bytes += missing;
            bytes = &bytes[missing..];
            if self.header_bytes == FRAME_HEADER {
                self.begin_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        let [high, middle, low, kind, flags, stream @ ..] = self.header;
        let stream = u32::from_be_bytes(stream);
        self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if kind == HEADERS || kind == CONTINUATION {
            self.is_in_block = flags & END_HEADERS == 0;
        }
        match kind {
            HEADERS | DATA if flags & END_STREAM != 0 => {
                self.unfinished.remove(&stream);
            }
            // Hyper limits the streams that a client may open, so this set stays small.
            HEADERS => {
                self.unfinished.insert(stream);
            }
            RST_STREAM => {
                self.unfinished.remove(&stream);
            }
            _ => {}
        }
        self.header_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_http2_is_whole_with_the_frame_that_ends_its_stream() {
        let whole = |frames: &[Vec<u8>]| {
            let mut framing = Framing::new();
            framing.follow(PREFACE);
            frames.iter().for_each(|frame| framing.follow(frame));
            framing.has_whole_requests()
        };
        let open = frame(HEADERS, END_HEADERS, 10);
        assert!(whole(&[]));
        assert!(whole(&[frame(HEADERS, END_HEADERS | END_STREAM, 10)]));
        assert!(!whole(std::slice::from_ref(&open)));
        assert!(!whole(&[open.clone(), frame(DATA, 0, 5)]));
        assert!(whole(&[open.clone(), frame(DATA, END_STREAM, 5)]));
        assert!(whole(&[open, frame(RST_STREAM, 0, 4)]));
    }

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u8::try_from(payload).expect("short");
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        bytes.resize(FRAME_HEADER + payload, b'x');
        bytes
    }

    /// Feeds `bytes` split in two at every position, and as single bytes.
    fn after(bytes: &[u8]) -> bool {
        let mut ends = Vec::new();
        for cut in 0..=bytes.len() {
            let mut framing = Framing::new();
            framing.follow(&bytes[..cut]);
            framing.follow(&bytes[cut..]);
            ends.push(framing.is_within());
        }
        let mut framing = Framing::new();
        bytes.chunks(1).for_each(|byte| framing.follow(byte));
        ends.push(framing.is_within());
        assert!(
            ends.windows(2).all(|pair| pair[0] == pair[1]),
            "it depends on how the bytes were cut"
        );
        ends[0]
    }

    #[test]
    fn http2_is_idle_between_frames_and_within_a_header_block_it_is_not() {
        const SETTINGS: u8 = 0x4;
        let opened = [PREFACE, &frame(SETTINGS, 0, 12)[..]].concat();
        let with = |frames: &[Vec<u8>]| [opened.clone(), frames.concat()].concat();
        assert!(!after(&opened));
        assert!(!after(&with(&[frame(HEADERS, END_HEADERS, 30)])));
        assert!(!after(&with(&[frame(HEADERS, END_HEADERS, 0)])));
        assert!(after(&with(&[frame(HEADERS, 0, 30)])));
        assert!(after(&with(&[
            frame(HEADERS, 0, 30),
            frame(CONTINUATION, 0, 5)
        ])));
        assert!(!after(&with(&[
            frame(HEADERS, 0, 30),
            frame(CONTINUATION, END_HEADERS, 5)
        ])));
        assert!(after(&with(&[
            frame(HEADERS, END_HEADERS, 30)[..20].to_vec()
        ])));
        assert!(after(&with(&[frame(SETTINGS, 0, 6)[..4].to_vec()])));
    }

    #[test]
    fn a_connection_that_has_carried_nothing_is_idle_and_any_byte_of_http1_begins_a_request() {
        assert!(!after(b""));
        for bytes in ["P", "PRI * HTTP/2.0\r\n", "POST / HTTP/1.1\r\n", "\r\n"] {
            assert!(after(bytes.as_bytes()), "{bytes}");
        }
    }
}
