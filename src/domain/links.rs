//! The links of a notification: their groups, and the kind of session that a path belongs to.

use std::fmt;

use super::words::worded;

/// A group of `_links`: one of the six that the vendor names (docs/VENDOR.md, "Links"), or one that it adds later.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkGroup(String);

impl LinkGroup {
    /// The groups of the vendor's reference, in its order.
    pub const KNOWN: [&'static str; 6] = [
        "contents",
        "encounter_content",
        "structured_data",
        "encounter_structured_data",
        "status",
        "transcripts",
    ];

    /// The group with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The vendor's name for it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its place in the vendor's reference; unknown groups come last.
    pub(super) fn rank(&self) -> usize {
        Self::KNOWN
            .iter()
            .position(|known| *known == self.0)
            .unwrap_or(Self::KNOWN.len())
    }

    /// Whether it is in the vendor's reference.
    pub fn is_known(&self) -> bool {
        Self::KNOWN.contains(&self.0.as_str())
    }
}

impl fmt::Display for LinkGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One link to follow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Link {
    /// Its group.
    pub group: LinkGroup,
    /// The address as sent: relative or absolute (docs/VENDOR.md, "Links").
    pub href: String,
    /// `false` if the notification asks for another method than GET. Such a request is never sent.
    pub is_get: bool,
}

worded! {
    /// The vendor's product that a session belongs to. No field tells it (docs/VENDOR.md, "Kinds of sessions"); paths
    /// do.
    SessionKind, "kind" {
        /// An ambient session: a visit that Suki listened to.
        Ambient = "ambient",
        /// A form-filling session.
        FormFilling = "form_filling",
        /// Not known yet.
        Unknown = "unknown",
    }
}

impl SessionKind {
    /// The kind that a link's path belongs to.
    pub fn of_href(href: &str) -> Self {
        if href.contains("/form-filling/") {
            Self::FormFilling
        } else if href.contains("/ambient/") {
            Self::Ambient
        } else {
            Self::Unknown
        }
    }

    /// The kind with this stored name; an unknown name is `Unknown`.
    pub fn from_word(word: &str) -> Self {
        word.parse().unwrap_or(Self::Unknown)
    }
}
