//! Keeps every event on disk and says what is due. The truth about an event is here and nowhere else.
//!
//! Knows nothing of HTTP, of the vendor's API or of sinks. No method holds a transaction while it waits for anything
//! but the disk.

mod error;
mod handle;
mod record;
mod sqlite;
mod store;

pub use error::Error;
pub use handle::{Journal, Wakeups};
pub use record::{
    Appended, Attempt, AuditEntry, ClaimedDelivery, ClaimedEvent, Delivery, DeliveryEnd,
    DeliveryLease, Due, Ended, Event, EventDetail, EventLease, Filter, Held, Link, LinkUpdate,
    NewEvent, Page, Purged, ReplayFrom, Replayed, Retrieval, Stats,
};
pub use sqlite::{Access, SqliteStore};
pub use store::Store;
