//! Checks for odd secrets: values that are hardly ever intended, and are hard to find once signatures fail. No message
//! contains any part of a secret.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::config::reader::secret::{NamedSecret, Secret};
use crate::config::reader::section::Section;

/// The minimum length of an admin token. The suggested command makes 64 characters.
const SHORTEST_TOKEN: usize = 16;
/// A shorter signing secret can be guessed from a signed message (RFC 2104 asks for the hash's length).
const SHORT_KEY: usize = 16;
/// The prefix of a Standard Webhooks secret.
const PREFIX: &str = "whsec_";
/// A hint how to make a token.
const MAKE: &str = "make one with: openssl rand -hex 32";

/// The warning for an odd secret of any kind, worded to follow its key.
pub(super) fn oddity(secret: &Secret) -> Option<&'static str> {
    let text = secret.expose();
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        Some(
            "has a blank at its start or end, which is taken as a part of it; remove the blank if it is not meant",
        )
    } else if text.starts_with(QUOTES) && text.ends_with(QUOTES) {
        Some("is in quotes, which are taken as a part of it; remove them if they are not meant")
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

/// Quotes that people and programs put around a value.
const QUOTES: [char; 9] = [
    '"', '\'', '`', '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{ab}',
];

/// Whether a character is invisible: a control character, a blank other than a space, or a formatting mark. Such
/// characters are copied along with a value from documents and chats.
fn is_unseen(c: char) -> bool {
    (c.is_control() && !"\n\r\t".contains(c))
        || (c.is_whitespace() && !c.is_ascii())
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Warns of odd secrets that Suki signs with. Suki chooses them, so none is refused.
pub(super) fn warn_of_signing(section: &mut Section<'_>, secrets: &[NamedSecret]) {
    for NamedSecret { id, secret } in secrets {
        let text = secret.expose();
        let key = section.path_of(&format!("secrets.{id}"));
        if names_prefix(bare(text)) || text.trim().starts_with("v1,") {
            section.warn(format!(
                "{key} looks like a secret of Standard Webhooks ({PREFIX}…); Suki's is used as it is, not decoded"
            ));
        }
        if text.len() < SHORT_KEY {
            section.warn(format!(
                "{key} has fewer than {SHORT_KEY} characters: it may be guessed; ask Suki for a longer one"
            ));
        }
    }
}

/// Checks that an HTTP sink can sign with the secret: `whsec_` and base64, or any other text.
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

/// The text without quotes and blanks around it.
fn bare(text: &str) -> &str {
    let bare = text.trim().trim_matches(QUOTES);
    bare.strip_prefix("v1,").unwrap_or(bare)
}

fn names_prefix(bare: &str) -> bool {
    bare.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Checks that a bearer token can be sent in a header and is too long to be guessed.
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
