//! Parses quarantined events again: one that an older version could not parse is not lost.

use super::{Error, Records};
use crate::domain::{EventId, EventState, Notification};

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeued {
    /// It is a notification now, and is due.
    Scheduled,
    /// There is no such event.
    NotFound,
    /// It is not in quarantine, or its content is purged.
    NotQuarantined,
    /// It still cannot be parsed, for this reason.
    Unreadable(String),
    /// The same notification is already stored, under this id. The quarantined event stays; it can be purged.
    Duplicate(EventId),
}

/// Parses a quarantined event again and makes it due if that succeeds.
///
/// # Errors
/// When the store fails.
pub async fn requeue(records: &dyn Records, id: EventId, actor: String) -> Result<Requeued, Error> {
    let Some(detail) = records.event(id).await? else {
        return Ok(Requeued::NotFound);
    };
    if detail.event.state != EventState::Quarantined {
        return Ok(Requeued::NotQuarantined);
    }
    let Some(body) = records.payload(id).await? else {
        return Ok(Requeued::NotQuarantined);
    };
    match Notification::parse(body) {
        Ok(notification) => records.requeue(id, Box::new(notification), actor).await,
        Err(malformed) => Ok(Requeued::Unreadable(malformed.to_string())),
    }
}
