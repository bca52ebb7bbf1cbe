//! Reads a secret's text from a file or from what a command prints, within a bound.

use std::io::{self, Read};

/// Reads a text of a length that a secret may have.
pub(in crate::config) fn read_text(source: impl Read) -> io::Result<String> {
    /// Keys and tokens are a few thousand bytes; this only keeps a wrong path from filling the memory.
    const MOST_BYTES: u64 = 1 << 20;
    let mut bytes = Vec::new();
    source.take(MOST_BYTES).read_to_end(&mut bytes)?;
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is UTF-16, as some editors and PowerShell write; save it as UTF-8",
        ));
    }
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}
