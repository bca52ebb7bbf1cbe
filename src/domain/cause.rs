//! Why something failed: a closed set of causes, by which events are grouped and filtered, and the sentence that
//! describes one failure.
//!
//! Never holds patient data: a sentence names a status, an error id or a host.

use std::fmt;

use super::words::worded;

worded! {
    /// Why an event or a delivery failed. The part before the dot is the stage.
    Cause, "cause" {
        /// No identity may read the session.
        FetchIdentity = "fetch.identity",
        /// A required link was not found.
        FetchNotFound = "fetch.not_found",
        /// A required link was not ready.
        FetchNotReady = "fetch.not_ready",
        /// The vendor's API was down, overloaded, or refused the login.
        FetchOutage = "fetch.outage",
        /// The vendor's API gave a final answer.
        FetchFinal = "fetch.final",
        /// A link may not be followed.
        FetchRefusedLink = "fetch.refused_link",
        /// A required group is not linked.
        FetchNotLinked = "fetch.not_linked",
        /// The sink rejected this content.
        DeliverRejected = "deliver.rejected",
        /// The sink refused the credentials.
        DeliverAuth = "deliver.auth",
        /// The sink answered with another 4xx status.
        DeliverHttp4xx = "deliver.http_4xx",
        /// The sink failed.
        DeliverHttp5xx = "deliver.http_5xx",
        /// The sink did not answer in time.
        DeliverTimeout = "deliver.timeout",
        /// The sink's certificate is not trusted.
        DeliverTls = "deliver.tls",
        /// The sink could not be reached.
        DeliverUnreachable = "deliver.unreachable",
        /// The sink's folder could not be written.
        DeliverStorage = "deliver.storage",
        /// The delivery could not be rendered.
        DeliverUnrenderable = "deliver.unrenderable",
        /// Authentic bytes that are not a JSON object.
        ParseNotJson = "parse.not_json",
        /// An authentic object without a usable session id.
        ParseNoSession = "parse.no_session",
        /// A request whose signature matches no secret.
        SignatureNoMatch = "signature.no_match",
        /// Stored data cannot be read.
        StoreUnreadable = "store.unreadable",
        /// The content was removed before it was delivered.
        Purged = "purged",
        /// A bug in this program.
        Internal = "internal",
        /// Stored by a version that did not record causes.
        Unclassified = "unclassified",
    }
}

impl Cause {
    /// The stage at which it failed: fetch, deliver, parse, signature or store.
    pub fn stage(self) -> &'static str {
        let word = self.as_str();
        word.split_once('.').map_or(word, |(stage, _)| stage)
    }

    /// The cause in plain words.
    pub fn title(self) -> &'static str {
        match self {
            Self::FetchIdentity => "Suki does not let any of our providers read the session",
            Self::FetchNotFound => "A required part of the note was not found at Suki",
            Self::FetchNotReady => "A required part of the note was not ready at Suki",
            Self::FetchOutage => "Suki's API could not be used until the event was given up",
            Self::FetchFinal => "Suki's API refused the request for good",
            Self::FetchRefusedLink => "A link leads to where this service does not go",
            Self::FetchNotLinked => "The notification does not link a required part of the note",
            Self::DeliverRejected => "The sink rejects the content",
            Self::DeliverAuth => "The sink does not accept our credentials",
            Self::DeliverHttp4xx => "The sink answers that the request is wrong",
            Self::DeliverHttp5xx => "The sink fails",
            Self::DeliverTimeout => "The sink does not answer in time",
            Self::DeliverTls => "The sink's certificate is not trusted",
            Self::DeliverUnreachable => "The sink cannot be reached",
            Self::DeliverStorage => "The sink's folder cannot be written",
            Self::DeliverUnrenderable => "The delivery could not be made from what is stored",
            Self::ParseNotJson => "An authentic request that is not a JSON object",
            Self::ParseNoSession => "An authentic request without a usable session id",
            Self::SignatureNoMatch => "A request whose signature fits none of our secrets",
            Self::StoreUnreadable => "What was stored cannot be read any more",
            Self::Purged => "The content was removed before it was delivered",
            Self::Internal => "A fault of this program",
            Self::Unclassified => "Kept by an earlier version, which did not tell causes apart",
        }
    }

    /// What an operator should do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::FetchIdentity => {
                "Have Suki activate the provider, or configure the identity that may read it; then replay from retrieve."
            }
            Self::FetchNotFound | Self::FetchNotReady => {
                "Ask Suki with the session id whether the note exists; replay one event from retrieve, then the rest."
            }
            Self::FetchOutage => {
                "Look at the state of Suki's API; when it works again, replay them from retrieve at a pace."
            }
            Self::FetchFinal => {
                "Read the last error: raise sdp.max_body_bytes where it names the size, else ask Suki with the session id."
            }
            Self::FetchRefusedLink => {
                "Add the host to follow.allowed_hosts if it is Suki's; if it is not, the notification may have been tampered with: report it."
            }
            Self::FetchNotLinked => {
                "Compare follow.required with what Suki makes for this kind of session; then replay from retrieve."
            }
            Self::DeliverRejected => {
                "Fix the rule at the sink that rejects it, replay one event from deliver to that sink, then the rest."
            }
            Self::DeliverAuth => {
                "Renew the sink's headers or secret, reload the service, replay one event, then the rest."
            }
            Self::DeliverHttp4xx => {
                "Look at the sink's url and at what it expects; replay one event, then the rest."
            }
            Self::DeliverHttp5xx | Self::DeliverTimeout | Self::DeliverUnreachable => {
                "Fix the sink or the way to it, replay one event, then the rest at a pace that it can take."
            }
            Self::DeliverTls => {
                "Renew the sink's certificate, or set the sink's ca_file; replay one event, then the rest."
            }
            Self::DeliverStorage => {
                "Look at the folder's permissions and at the room on its disk; then replay from deliver."
            }
            Self::DeliverUnrenderable => {
                "Read the last error; fix the sink's template where it names one, else report it as a fault."
            }
            Self::ParseNotJson | Self::ParseNoSession => {
                "Read the bytes with a reason and send them to Suki; requeue after an upgrade that reads them, or purge."
            }
            Self::SignatureNoMatch => {
                "Configure the secret that Suki signs with, reload the service, and verify the kept requests again."
            }
            Self::StoreUnreadable => {
                "Run `suki-receiver store check` and follow the section on a damaged store in the runbook."
            }
            Self::Purged => "Nothing: there is no content left to deliver.",
            Self::Internal => {
                "Replay it once; if it stops again, report it with its id and the log line."
            }
            Self::Unclassified => {
                "Read the last error of each, and replay it when its cause is fixed."
            }
        }
    }
}

/// Why one attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The cause.
    pub cause: Cause,
    /// What happened, in words for operators.
    pub text: String,
    /// The HTTP status, if there was an HTTP answer.
    pub http_status: Option<u16>,
}

impl Reason {
    /// A reason without an HTTP answer.
    pub fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self {
            cause,
            text: text.into(),
            http_status: None,
        }
    }

    /// Adds the HTTP status of the answer.
    #[must_use]
    pub fn answered(self, status: Option<u16>) -> Self {
        Self {
            http_status: status,
            ..self
        }
    }

    /// Puts a text in front of the reason.
    #[must_use]
    pub fn after(self, before: &str) -> Self {
        Self {
            text: format!("{before}: {}", self.text),
            ..self
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_told_in_a_sentence_and_so_is_what_to_do() {
        for cause in Cause::ALL {
            assert!(!cause.title().ends_with('.'), "{cause}");
            assert!(cause.advice().ends_with('.'), "{cause}");
            assert_eq!(cause.as_str().parse(), Ok(*cause));
        }
    }

    #[test]
    fn a_causes_stage_stands_before_the_dot() {
        assert_eq!(Cause::FetchOutage.stage(), "fetch");
        assert_eq!(Cause::Purged.stage(), "purged");
    }
}
