//! How a session ended, according to the notification and according to the status endpoint.

use super::words::worded;

worded! {
    /// How a session ended, in this service's terms. The order is the one in which people see the outcomes.
    Outcome, "outcome" {
        /// A note was made.
        Completed = "completed",
        /// The session or its note failed.
        Failed = "failed",
        /// The session timed out.
        TimedOut = "timed_out",
        /// The session was cancelled.
        Cancelled = "cancelled",
        /// The session was too short or nothing was said: no error, and no note is coming.
        Skipped = "skipped",
        /// Not told, or told in an unknown word.
        Unknown = "unknown",
    }
}

impl Outcome {
    /// The meaning of a notification's `status`. Only `success` and `failure` are documented; the other words are the
    /// obvious ones for the two events whose `status` is not. Everything else, and no status, is `Unknown`.
    pub fn of_notification(status: Option<&str>) -> Self {
        match status.map(str::to_ascii_lowercase).as_deref() {
            Some("success" | "completed") => Self::Completed,
            Some("failure" | "failed") => Self::Failed,
            Some("timeout" | "timed_out") => Self::TimedOut,
            Some("cancelled" | "canceled" | "aborted") => Self::Cancelled,
            Some("skipped") => Self::Skipped,
            _ => Self::Unknown,
        }
    }
}

/// A session's status from the status endpoint, in lower case; unknown words are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus(String);

impl SessionStatus {
    /// The status with this word, in any letter case.
    pub fn new(word: &str) -> Self {
        Self(word.trim().to_ascii_lowercase())
    }

    /// The word in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The outcome that this status means; `Unknown` for an unknown status.
    pub fn outcome(&self) -> Outcome {
        match self.0.as_str() {
            "completed" => Outcome::Completed,
            "failed" => Outcome::Failed,
            "aborted" => Outcome::Cancelled,
            "skipped" => Outcome::Skipped,
            _ => Outcome::Unknown,
        }
    }

    /// Whether the session may still change. An unknown status is taken as final, so that nothing waits for ever.
    pub fn is_in_progress(&self) -> bool {
        matches!(
            self.0.as_str(),
            "created" | "ready" | "running" | "paused" | "staged"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_and_plausible_words_are_understood_and_the_rest_is_unknown() {
        assert_eq!(
            Outcome::of_notification(Some("success")),
            Outcome::Completed
        );
        assert_eq!(Outcome::of_notification(Some("FAILURE")), Outcome::Failed);
        assert_eq!(Outcome::of_notification(Some("timeout")), Outcome::TimedOut);
        assert_eq!(
            Outcome::of_notification(Some("canceled")),
            Outcome::Cancelled
        );
        assert_eq!(Outcome::of_notification(Some("archived")), Outcome::Unknown);
        assert_eq!(Outcome::of_notification(None), Outcome::Unknown);
    }

    #[test]
    fn session_states_are_compared_whatever_their_case() {
        assert_eq!(
            SessionStatus::new("COMPLETED").outcome(),
            Outcome::Completed
        );
        assert_eq!(SessionStatus::new("Aborted").outcome(), Outcome::Cancelled);
        assert_eq!(SessionStatus::new("SKIPPED").outcome(), Outcome::Skipped);
        assert_eq!(Outcome::of_notification(Some("skipped")), Outcome::Skipped);
        assert!(SessionStatus::new("Running").is_in_progress());
        assert!(!SessionStatus::new("skipped").is_in_progress());
        assert!(!SessionStatus::new("hibernated").is_in_progress());
    }
}
