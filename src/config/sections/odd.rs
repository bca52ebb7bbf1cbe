//! Secrets that are odd: hardly ever what was meant, and hard to find once nothing verifies. No text made here shows a
//! part of one.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::config::reader::secret::{NamedSecret, Secret};
use crate::config::reader::section::Section;

/// Shortest admin token. What is suggested has 64 characters.
const SHORTEST_TOKEN: usize = 16;
/// A shorter signing secret can be guessed from what it has signed (RFC 2104 asks for the hash's length).
const SHORT_KEY: usize = 16;
/// What a secret of Standard Webhooks starts with.
const PREFIX: &str = "whsec_";
/// What makes a token.
const MAKE: &str = "make one with: openssl rand -hex 32";

/// What any secret is warned of, worded to stand after its key.
pub(super) fn oddity(secret: &Secret) -> Option<&'static str> {
    let text = secret.expose();
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        Some(
            "has a blank at its start or end, which is taken as a part of it; remove the blank if it is not meant",
        )
    } else if text.starts_with(QUOTES) && text.ends_with(QUOTES) {
        Some("stands in quotes, which are taken as a part of it; remove them if they are not meant")
    } else if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        Some(
            "has a quote at its start or end, which is taken as a part of it; remove it if it is not meant",
        )
    } else if text.contains(['\n', '\r']) && !text.starts_with("-----BEGIN") {
        Some(
            "has more than one line, and all of them are taken as one secret; leave only the line that is meant",
        )
    } else if text.contains(is_unseen) {
        Some("has a character in it that cannot be seen; it is taken as a part of it")
    } else {
        None
    }
}

/// What people and programs put around a value.
const QUOTES: [char; 9] = [
    '"', '\'', '`', '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{ab}',
];

/// Controls, blanks that are no space, and marks that only tell how to lay text out. Copied along with a value from
/// documents and chats.
fn is_unseen(c: char) -> bool {
    (c.is_control() && !"\n\r\t".contains(c))
        || (c.is_whitespace() && !c.is_ascii())
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A secret that Suki signs with. It is Suki's to choose, so nothing is refused.
pub(super) fn warn_of_signing(section: &mut Section<'_>, secrets: &[NamedSecret]) {
    for NamedSecret { id, secret } in secrets {
        let text = secret.expose();
        let key = section.path_of(&format!("secrets.{id}"));
        if names_prefix(bare(text)) || text.trim().starts_with("v1,") {
            section.warn(format!(
                "{key} looks like a secret of Standard Webhooks ({PREFIX}…); Suki's is used as it stands, with nothing decoded"
            ));
        }
        if text.len() < SHORT_KEY {
            section.warn(format!(
                "{key} has fewer than {SHORT_KEY} characters: it may be guessed; ask Suki for a longer one"
            ));
        }
    }
}

/// Whether an HTTP sink can sign with it: `whsec_` and base64, or any text.
pub(super) fn webhook(secret: &Secret) -> Result<(), String> {
    let text = secret.expose();
    if !names_prefix(bare(text)) {
        return Ok(());
    }
    let Some(encoded) = text.strip_prefix(PREFIX) else {
        return Err(format!(
            "must start with {PREFIX} in lower case, with nothing before it: no v1, no blank and no quote"
        ));
    };
    if encoded.is_empty() {
        return Err(format!("has nothing after {PREFIX}"));
    }
    if STANDARD.decode(encoded).is_err() {
        let hint = if STANDARD_NO_PAD.decode(encoded).is_ok() {
            ": the = at its end is missing"
        } else if encoded.contains(['-', '_']) {
            ": it has characters of base64url; use + and / for - and _"
        } else {
            ""
        };
        return Err(format!("is not base64 after {PREFIX}{hint}"));
    }
    Ok(())
}

/// Without what people put around it.
fn bare(text: &str) -> &str {
    let bare = text.trim().trim_matches(QUOTES);
    bare.strip_prefix("v1,").unwrap_or(bare)
}

fn names_prefix(bare: &str) -> bool {
    bare.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Whether a bearer token can be sent, and is long enough that nobody guesses it.
pub(super) fn token(secret: &Secret) -> Result<(), String> {
    let text = secret.expose();
    if text.chars().any(|c| !c.is_ascii_graphic()) {
        return Err(format!(
            "must be visible ASCII without blanks, or no caller can send it; {MAKE}"
        ));
    }
    if text.len() < SHORTEST_TOKEN {
        return Err(format!(
            "has fewer than {SHORTEST_TOKEN} characters and may be guessed; {MAKE}"
        ));
    }
    Ok(())
}
