//! Keeps every event on disk and says what is due. The truth about an event is here and nowhere else.
//!
//! Knows nothing of HTTP, of the vendor's API or of sinks. No method holds a transaction while it waits for anything
//! but the disk.

mod access;
mod amendment;
mod deadline;
mod error;
mod handle;
mod postgres;
mod record;
mod requeue;
mod retention;
mod reverify;
mod spool;
mod sqlite;
mod store;
mod unauthentic;

pub use access::Access;
pub use amendment::{Amendment, LateEvent};
pub use error::Error;
pub use handle::{Journal, Wakeups};
pub use postgres::PostgresStore;
pub use record::{
    Appended, Attempt, AuditEntry, ClaimedDelivery, ClaimedEvent, Delivery, DeliveryEnd,
    DeliveryLease, Due, Ended, Event, EventDetail, EventLease, Filter, Held, Link, LinkUpdate,
    NewEvent, Page, ReplayFrom, Replayed, Retrieval, Stats,
};
pub use requeue::{Requeued, requeue};
pub use retention::{Expiry, Purged};
pub use reverify::{Reverified, Rules};
pub use spool::Taking;
pub use sqlite::{
    Examined, SqliteStore, adopt, backup, begin_empty, damaged_beside, examine, orphaned, restore,
};
pub use store::Store;
pub use unauthentic::{Bounds, Unauthentic};
