//! Bytes as they stand on the wire: requests of HTTP/1.1 and frames of HTTP/2, for senders that no library makes.

use super::Signed;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0x0;
pub const HEADERS: u8 = 0x1;
pub const RST_STREAM: u8 = 0x3;
pub const SETTINGS: u8 = 0x4;
pub const GOAWAY: u8 = 0x7;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A notification as an HTTP/1.1 request.
pub fn http1(signed: &Signed, path: &str) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ngenerated-at: {}\r\ncontent-length: {}\r\n\r\n",
        signed.signature,
        signed.generated_at,
        signed.body.len()
    );
    [head.as_bytes(), &signed.body].concat()
}

/// The same as HTTP/1.1 in one chunk, without the mark of its end.
pub fn http1_without_end(signed: &Signed) -> Vec<u8> {
    let head = format!(
        "POST /webhooks/notification HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ngenerated-at: {}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        signed.signature,
        signed.generated_at,
        signed.body.len()
    );
    [head.as_bytes(), &signed.body, b"\r\n"].concat()
}

/// The same as HTTP/1.1 with a length that is one more than what comes.
pub fn http1_cut_short(signed: &Signed) -> Vec<u8> {
    let whole = String::from_utf8(http1(signed, "/webhooks/notification")).unwrap();
    let length = signed.body.len();
    let longer = format!("content-length: {}", length + 1);
    whole
        .replace(&format!("content-length: {length}"), &longer)
        .into_bytes()
}

/// What an HTTP/2 client says first.
pub fn http2_start() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()
}

/// A notification as an HTTP/2 request.
pub fn http2(signed: &Signed, stream: u32) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", "/webhooks/notification"),
        ("x-api-key", &signed.signature),
        ("generated-at", &signed.generated_at),
    ];
    let block: Vec<u8> = fields.iter().flat_map(field).collect();
    [
        frame(HEADERS, END_HEADERS, stream, &block),
        frame(DATA, END_STREAM, stream, &signed.body),
    ]
    .concat()
}

/// The same without the mark of its end.
pub fn http2_without_end(signed: &Signed, stream: u32) -> Vec<u8> {
    let whole = http2(signed, stream);
    let data = whole.len() - signed.body.len() - 9;
    [&whole[..data], &frame(DATA, 0, stream, &signed.body)].concat()
}

/// A `GET` as an HTTP/2 request, with this authorization unless it is empty.
pub fn http2_get(path: &str, authorization: &str, stream: u32) -> Vec<u8> {
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
    ];
    if !authorization.is_empty() {
        fields.push(("authorization", authorization));
    }
    let block: Vec<u8> = fields.iter().flat_map(field).collect();
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

/// The beginning of a header block that never ends.
pub fn http2_half_a_head(stream: u32) -> Vec<u8> {
    frame(HEADERS, 0, stream, &field(&(":method", "POST")))
}

/// One frame (RFC 9113, section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header that is not in any table (RFC 7541, section 6.2.2).
fn field((name, value): &(&str, &str)) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 127, "longer ones need more than a byte");
        [&[length], text.as_bytes()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}
