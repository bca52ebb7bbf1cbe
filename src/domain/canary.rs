//! The canary: a synthetic notification by which the service tests the path to its own webhook. Defines its form, and
//! how it is distinguished from a real notification. Pure.

use uuid::Uuid;

/// The prefix of a canary's session id. No session of the vendor begins with it: its ids are UUIDs, or made by the
/// vendor.
const PREFIX: &str = "suki-receiver-canary-";

/// A canary: a body that the vendor never sends.
#[derive(Debug, Clone)]
pub struct Canary {
    body: String,
}

impl Canary {
    /// A new canary.
    pub fn generate() -> Self {
        let id = Uuid::now_v7();
        Self {
            body: format!(r#"{{"canary":true,"session_id":"{PREFIX}{id}"}}"#),
        }
    }

    /// The body to send.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Whether a verified body is a canary, byte for byte in the form made here. A body that differs in any way is an
    /// ordinary notification, so none is ever mistaken for a canary.
    pub fn is_one(body: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(body) else {
            return false;
        };
        let id = text
            .strip_prefix(r#"{"canary":true,"session_id":""#)
            .and_then(|rest| rest.strip_prefix(PREFIX))
            .and_then(|rest| rest.strip_suffix("\"}"));
        id.is_some_and(|id| id.len() == 36 && Uuid::try_parse(id).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_made_here_is_a_canary() {
        let canary = Canary::generate();
        assert!(Canary::is_one(canary.body().as_bytes()));
        for other in [
            canary.body().replace("true", "false"),
            canary.body().replace(PREFIX, ""),
            canary.body().replace('}', r#","status":"success"}"#),
            format!(" {}", canary.body()),
            r#"{"canary":true,"session_id":"suki-receiver-canary-x"}"#.to_owned(),
            String::new(),
        ] {
            assert!(!Canary::is_one(other.as_bytes()), "{other}");
        }
    }
}
