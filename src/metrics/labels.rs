//! Label values that are used in several places.

/// The answer to a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200: a new notification.
    Accepted,
    /// 200: a notification that is already known.
    Duplicate,
    /// 401: the signature does not hold.
    Unauthorized,
    /// 400: an authentic body that is no notification; it is in the quarantine.
    Malformed,
    /// 413: the body is too large.
    TooLarge,
    /// 408: the body did not come in time.
    TimedOut,
    /// 503: the notification cannot be accepted now.
    Unavailable,
}

impl Answer {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Unauthorized => "unauthorized",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::TimedOut => "timed_out",
            Self::Unavailable => "unavailable",
        }
    }

    /// Every answer.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Duplicate,
        Self::Unauthorized,
        Self::Malformed,
        Self::TooLarge,
        Self::TimedOut,
        Self::Unavailable,
    ];
}

/// The limit because of which a notification was answered 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `server.max_buffered_bytes`.
    Memory,
    /// `store.queue`.
    Queue,
    /// `store.deadline`.
    Deadline,
    /// No limit: the store failed, and so did the spool if there is one.
    Store,
}

impl Bound {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Queue => "queue",
            Self::Deadline => "deadline",
            Self::Store => "store",
        }
    }

    pub(super) const ALL: [Self; 4] = [Self::Memory, Self::Queue, Self::Deadline, Self::Store];
}
