//! The mix of messages by kind and weight. `plan` determines their order.
//!
//! The text form is `kind=weight` with commas between, for example `success=6,failure=2,duplicate=1`; a kind without a
//! weight counts once.

use std::fmt;
use std::str::FromStr;

/// One kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A completed ambient session with links of all six groups.
    Success,
    /// A failed session.
    Failure,
    /// A session that timed out, with two ids and no status.
    Timeout,
    /// A session that was cancelled, also with two ids and no status.
    Cancelled,
    /// An earlier message again, in the same or in different bytes.
    Duplicate,
    /// A message that is not authentic.
    BadSignature,
    /// A notification with an undocumented status.
    UnknownStatus,
    /// A completed form-filling session.
    FormFilling,
    /// A completed ambient session whose links are left out.
    NoLinks,
    /// An authentic notification that is a day old.
    Stale,
    /// An authentic body that is no notification.
    Malformed,
}

/// Kinds with their weights. There is at least one message, and if there are duplicates, there is something to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix(Vec<(Kind, u32)>);

/// The error for a text that is not a mix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mix '{text}': {why}")]
pub struct BadMix {
    text: String,
    why: String,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Success,
        Self::Failure,
        Self::Timeout,
        Self::Cancelled,
        Self::Duplicate,
        Self::BadSignature,
        Self::UnknownStatus,
        Self::FormFilling,
        Self::NoLinks,
        Self::Stale,
        Self::Malformed,
    ];

    /// The kind's name in a mix.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Duplicate => "duplicate",
            Self::BadSignature => "bad-signature",
            Self::UnknownStatus => "unknown-status",
            Self::FormFilling => "form-filling",
            Self::NoLinks => "no-links",
            Self::Stale => "stale",
            Self::Malformed => "malformed",
        }
    }

    /// Whether a duplicate may repeat this kind. Stale messages are not repeated, since a receiver may be configured to
    /// refuse them.
    pub(super) fn is_repeatable(self) -> bool {
        !matches!(
            self,
            Self::Duplicate | Self::BadSignature | Self::Stale | Self::Malformed
        )
    }
}

impl Mix {
    /// The limit of the weights' sum.
    const MAX_TOTAL: u32 = 10_000;

    /// A mix with these weights.
    ///
    /// # Errors
    /// A message for people if nothing would be sent, if there is nothing to repeat, or if the weights are too large.
    pub fn new(weights: impl IntoIterator<Item = (Kind, u32)>) -> Result<Self, String> {
        let weights: Vec<_> = weights
            .into_iter()
            .filter(|(_, weight)| *weight > 0)
            .collect();
        let total = weights
            .iter()
            .fold(0u32, |total, (_, weight)| total.saturating_add(*weight));
        let has = |fits: fn(Kind) -> bool| weights.iter().any(|(kind, _)| fits(*kind));
        if total == 0 {
            return Err("there is nothing in it".to_owned());
        }
        if total > Self::MAX_TOTAL {
            return Err(format!(
                "the weights add up to more than {}",
                Self::MAX_TOTAL
            ));
        }
        if has(|kind| kind == Kind::Duplicate) && !has(Kind::is_repeatable) {
            return Err("duplicates need something to repeat; add success=1".to_owned());
        }
        Ok(Self(weights))
    }

    /// The kinds in the given order, each as often as its weight says.
    pub(super) fn cards(&self) -> Vec<Kind> {
        self.0
            .iter()
            .flat_map(|(kind, weight)| (0..*weight).map(|_| *kind))
            .collect()
    }
}

impl Default for Mix {
    /// A mix of every kind, in eighteen messages, so that a demo with twenty or more messages has all kinds.
    fn default() -> Self {
        Self(
            Kind::ALL
                .into_iter()
                .map(|kind| match kind {
                    Kind::Success => (kind, 6),
                    Kind::Failure | Kind::Duplicate => (kind, 2),
                    _ => (kind, 1),
                })
                .collect(),
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::as_str).join(", ");
                format!("unknown kind of message '{text}'; expected one of {names}")
            })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self
            .0
            .iter()
            .map(|(kind, weight)| format!("{kind}={weight}"))
            .collect();
        f.write_str(&parts.join(","))
    }
}

impl FromStr for Mix {
    type Err = BadMix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let weights: Result<Vec<_>, String> = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (kind, weight) = part.split_once('=').unwrap_or((part, "1"));
                let weight = weight.trim().parse();
                let weight =
                    weight.map_err(|_| format!("'{part}' has no whole number as weight"))?;
                Ok((kind.trim().parse()?, weight))
            })
            .collect();
        weights.and_then(Self::new).map_err(|why| BadMix {
            text: text.to_owned(),
            why,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_reads_back_as_it_is_printed() {
        let mix = Mix::default();
        assert_eq!(mix.to_string().parse(), Ok(mix));
        let short: Mix = " success , failure = 2,stale=0".parse().expect("parses");
        assert_eq!(short.to_string(), "success=1,failure=2");
    }

    #[test]
    fn a_wrong_mix_is_answered_with_what_would_be_right() {
        for (text, hint) in [
            ("", "nothing in it"),
            ("success=0", "nothing in it"),
            (
                "succes=1",
                "unknown kind of message 'succes'; expected one of success, failure",
            ),
            ("success=many", "no whole number"),
            ("success=10001", "more than 10000"),
            ("duplicate=1,bad-signature=1", "something to repeat"),
        ] {
            let error = text.parse::<Mix>().expect_err(text).to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
