//! Takes up quarantined events that this version can read: what an older one could not is not lost.

use super::{Error, Records};
use crate::domain::{EventId, EventState, Notification};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeued {
    /// It is a notification now, and due.
    Scheduled,
    /// There is no such event.
    NotFound,
    /// It is not in the quarantine, or its content is purged.
    NotQuarantined,
    /// It still cannot be read, and why.
    Unreadable(String),
    /// The same notification is kept already, under this id. It stays in the quarantine; it can be purged.
    Duplicate(EventId),
}

/// Reads a quarantined event anew and, where that succeeds, makes it due.
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
