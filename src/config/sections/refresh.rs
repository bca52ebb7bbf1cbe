//! `[refresh]`: content that comes after its event was delivered without it, or that has changed.

use std::time::Duration;

use super::check;
use crate::config::reader::section::Section;

/// When content is fetched again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The times after the delivery at which missing content is fetched again. The last one is then repeated as an
    /// interval.
    pub missing_after: Vec<Duration>,
    /// How long missing content is fetched again. `None`: never.
    pub missing_for: Option<Duration>,
    /// Whether a repeated notification makes the receiver fetch the event's required content again.
    pub on_repeat: bool,
    /// Whether the encounter's groups are then fetched again too.
    pub encounter: bool,
}

impl Default for Refresh {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self {
            missing_after: vec![hours(1), hours(6), hours(24)],
            missing_for: Some(hours(30 * 24)),
            on_repeat: true,
            encounter: true,
        }
    }
}

impl Refresh {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            missing_after: section.checked("missing_after", default.missing_after, |times| {
                in_order(times)
            }),
            missing_for: section.get("missing_for", default.missing_for),
            on_repeat: section.get("on_repeat", default.on_repeat),
            encounter: section.get("encounter", default.encounter),
        }
    }
}

fn in_order(times: &[Duration]) -> Result<(), String> {
    check::ensure(!times.is_empty(), || {
        "is empty; name at least one time, or set missing_for = \"\"".to_owned()
    })?;
    times.iter().try_for_each(check::not_zero)?;
    check::ensure(times.is_sorted(), || {
        "is not in order; the times count from the delivery, so write the shortest first".to_owned()
    })
}
