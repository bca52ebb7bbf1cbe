//! Values of labels that several places name.

/// How a notification was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200, new.
    Accepted,
    /// 200, known.
    Duplicate,
    /// 401.
    Unauthorized,
    /// 400, in the quarantine.
    Malformed,
    /// 413.
    TooLarge,
    /// 408: the body did not come in time.
    TimedOut,
    /// 503.
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

/// Which bound made an answer a 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `server.max_buffered_bytes`.
    Memory,
    /// `store.queue`.
    Queue,
    /// `store.deadline`.
    Deadline,
    /// None: the store failed, and so did the spool where there is one.
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
