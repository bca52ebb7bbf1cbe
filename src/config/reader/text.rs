//! Reads a secret's text from a file or from a command's output, with a limit.

use std::io::{self, Read};

/// Reads a text that is no longer than a secret can be.
pub(in crate::config) fn read_text(source: impl Read) -> io::Result<String> {
    /// Keys and tokens have at most a few thousand bytes; this only prevents a wrong path from filling the memory.
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
