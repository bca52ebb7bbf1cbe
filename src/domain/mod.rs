//! The service's domain: notifications, links, deliveries and time.
//!
//! Pure data and pure functions. Nothing here does I/O or depends on axum, a database or an HTTP client.

mod canary;
mod cause;
mod clock;
mod dedupe;
mod delivery;
mod document;
mod expected;
mod ids;
pub mod json;
mod links;
mod notification;
mod outcome;
mod poll_schedule;
mod retention_clock;
mod session;
mod tree;
pub(crate) mod words;

pub use canary::Canary;
pub use cause::{Cause, Reason};
pub use clock::{Clock, Millis};
pub use dedupe::DedupeKey;
pub use delivery::{DeliveryState, EventState, LinkCause, LinkState, Source};
pub use document::{Document, Missing, Resource, Sequence};
pub use expected::{Context, Expectation, Expected, ExpectedState, Origin, Registration};
pub use ids::{EncounterId, EventId, SessionId};
pub use links::{Link, LinkGroup, SessionKind};
pub use notification::{Malformed, Notification, loggable_status};
pub use outcome::{Outcome, SessionStatus};
pub use poll_schedule::{Lane, Poll, PollSchedule};
pub use retention_clock::{KEPT_FOR, RetentionClock};
pub use session::Session;
pub(crate) use words::worded;
