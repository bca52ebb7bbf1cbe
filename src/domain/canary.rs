//! The synthetic notification by which the service tests its own way in: what it looks like, and how it is told from a real
//! one. Pure.

use uuid::Uuid;

/// What no session of the vendor's is called: its ids are UUIDs, or the vendor's own.
const PREFIX: &str = "suki-receiver-canary-";

/// One synthetic notification: a body that no vendor sends.
#[derive(Debug, Clone)]
pub struct Canary {
    body: String,
}

impl Canary {
    /// A new one.
    pub fn generate() -> Self {
        let id = Uuid::now_v7();
        Self {
            body: format!(r#"{{"canary":true,"session_id":"{PREFIX}{id}"}}"#),
        }
    }

    /// What is sent.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Whether a verified body is one: byte for byte as it is made here. Whatever differs in anything is a notification
    /// like any other, so that none is ever taken for a synthetic one.
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
