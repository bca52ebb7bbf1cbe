//! Label values that are used in several places.

use crate::domain::worded;

worded! {
    /// The answer to a notification.
    Answer, "answer" {
        /// 200: a new notification.
        Accepted = "accepted",
        /// 200: a notification that is already known.
        Duplicate = "duplicate",
        /// 401: the signature does not hold.
        Unauthorized = "unauthorized",
        /// 400: an authentic body that is no notification; it is in the quarantine.
        Malformed = "malformed",
        /// 413: the body is too large.
        TooLarge = "too_large",
        /// 408: the body did not come in time.
        TimedOut = "timed_out",
        /// 503: the notification cannot be accepted now.
        Unavailable = "unavailable",
    }
}

worded! {
    /// The limit because of which a notification was answered 503.
    Bound, "bound" {
        /// `server.max_buffered_bytes`.
        Memory = "memory",
        /// `store.queue`.
        Queue = "queue",
        /// `store.deadline`.
        Deadline = "deadline",
        /// No limit: the store failed, and so did the spool if there is one.
        Store = "store",
    }
}
