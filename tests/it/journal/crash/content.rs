//! What the model keeps: a key says everything about an event's content, so that every byte can be checked.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What kind of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A notification that needs the vendor's API.
    Success,
    /// A notification that does not.
    Failure,
    /// Authentic bytes that are no notification.
    Malformed,
}

/// Names one content. `n` names the session; another `variant` is other content for the same session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Key {
    pub kind: Kind,
    pub seed: u64,
    pub n: u64,
    pub variant: u8,
    pub size: usize,
}

impl Key {
    /// The key of a stored notification, which has it as its encounter.
    pub fn of_encounter(id: &str) -> Option<Self> {
        id.parse().ok()
    }

    /// The key of stored bytes that are no notification.
    pub fn of_junk(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        text.strip_prefix("junk ")?.split(' ').next()?.parse().ok()
    }

    /// The body.
    pub fn body(&self) -> Bytes {
        let filler = filler(&self.to_string(), self.size);
        let status = match self.kind {
            Kind::Success => "success",
            Kind::Failure => "failure",
            Kind::Malformed => return Bytes::from(format!("junk {self} {filler}")),
        };
        let session = format!("s-{}-{}", self.seed, self.n);
        Bytes::from(format!(
            r#"{{"session_id":"{session}","encounter_id":"{self}","status":"{status}","error_detail":"{filler}"}}"#
        ))
    }

    /// What is fetched for link `n`, the `version`th time.
    pub fn resource(&self, n: u32, version: u64) -> Bytes {
        let head = format!("{version} {self} {n}");
        Bytes::from(format!("{head} {}", filler(&head, self.size / 2)))
    }

    /// The version of a fetched body, when it is whole.
    pub fn version_of(&self, n: u32, body: &Bytes) -> Option<u64> {
        let version = std::str::from_utf8(body).ok()?.split(' ').next()?;
        let version = version.parse().ok()?;
        (self.resource(n, version) == body).then_some(version)
    }
}

/// `size` letters that nothing else has. They repeat, but not in step with pages or sectors.
fn filler(name: &str, size: usize) -> String {
    const STEP: usize = 509;
    // FNV-1a, then a linear congruence: plain arithmetic, the same in every process and fast without optimisation.
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut letters = String::with_capacity(STEP);
    while letters.len() < size.min(STEP) {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        letters.push(char::from(b'a' + (state >> 59) as u8 % 26));
    }
    let mut filler = letters.repeat(size.div_ceil(STEP));
    filler.truncate(size);
    filler
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            seed,
            n,
            variant,
            size,
        } = self;
        write!(f, "{kind:?}.{seed}.{n}.{variant}.{size}")
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("'{text}' is no key");
        let parts: Vec<_> = text.split('.').collect();
        let [kind, seed, n, variant, size] = parts[..] else {
            return Err(wrong());
        };
        Ok(Self {
            kind: match kind {
                "Success" => Kind::Success,
                "Failure" => Kind::Failure,
                "Malformed" => Kind::Malformed,
                _ => return Err(wrong()),
            },
            seed: seed.parse().map_err(|_| wrong())?,
            n: n.parse().map_err(|_| wrong())?,
            variant: variant.parse().map_err(|_| wrong())?,
            size: size.parse().map_err(|_| wrong())?,
        })
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
