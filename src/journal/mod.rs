//! Stores every event on disk and says what is due. The journal is the only source of truth about an event.
//!
//! It has no knowledge of HTTP, of the vendor's API or of sinks. No method keeps a transaction open while it waits for
//! anything but the disk.

mod access;
mod cause_notes;
mod claimed;
mod conditions;
mod contents;
mod deadline;
mod dispatch;
mod end;
mod error;
mod expected;
mod feed;
pub mod filter;
mod handle;
mod lease;
mod open_error;
mod pauses;
mod postgres;
mod received;
mod record;
mod rejected_request;
mod replays;
mod requeue;
mod retention;
mod reverify;
mod sent_alert;
mod spool;
mod sqlite;
mod store;
mod window;

pub use access::Access;
pub use cause_notes::{CauseNote, CauseNotes};
pub use claimed::{
    Again, Claimed, ClaimedDelivery, ClaimedEvent, Found, LateEvent, Linked, Receipt, Wanted,
};
pub use dispatch::{Admission, Inbox, Permit};
pub use end::{Amendment, DeliveryEnd, End, Ended, How, Planned, Retrieval, Seen};
pub use error::Error;
pub use expected::{
    Change, Expectations, ExpectedFilter, ExpectedPage, ExpectedStats, Follows, NewExpected,
    POLLER_LEASE, PollAnswer, PollEnded, Polled, Recovered, Registered,
};
pub use feed::{Change as FeedChange, Feed, Watch};
pub use filter::{Filter, Order};
pub use handle::Journal;
pub use lease::{LATER_BY, Lease, Task};
pub use open_error::OpenError;
pub use pauses::{Pause, Pauses};
pub use postgres::PostgresStore;
pub use received::Received;
pub use record::{
    Appended, Applied, Attempt, AuditEntry, AuditFilter, AuditPage, Delivery, Event, EventDetail,
    Kept, LinkRecord, NewEvent, Page, ReplayFrom, Replayed, Stats, StoreSize, Waiting,
};
pub use rejected_request::{Bounds, RejectedRequest};
pub use replays::{
    Cancelled, CauseGroup, JobState, MOST_COUNTED, NewReplayJob, NoSink, Preview, PreviewGroup,
    Progress, ReplayJob, ReplayStep, Replays, Standing, Tally, addressees,
};
pub use requeue::{Requeued, requeue};
pub use retention::{Expiry, Purged};
pub use reverify::{Reverified, Rules};
pub use sent_alert::SentAlert;
pub use spool::WriteTarget;
pub use sqlite::{
    Examined, SqliteStore, adopt, backup, begin_empty, damaged_beside, examine, last_backup,
    note_backup, orphaned, restore,
};
pub use store::{Records, Store};
pub use window::SEARCH_LIMIT;
