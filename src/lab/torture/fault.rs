//! The kinds of faults that are injected.

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// A receiver is killed with `kill -9`, and started.
    Kill,
    /// A receiver is stopped with `SIGTERM`, and started.
    Restart,
    /// A second process takes over the first one's sockets.
    HandOver,
    /// A receiver's files cannot grow.
    FullDisk,
    /// The vendor's API is down.
    VendorDown,
    /// The vendor's API answers wrongly, late or incompletely.
    VendorFails,
    /// The partner's endpoint answers 503.
    SinkDown,
    /// The partner's endpoint is slow.
    SinkSlow,
    /// The partner's endpoint accepts the event but answers with an error.
    SinkLies,
    /// The connections to the database are cut, and new ones refused.
    DatabaseCut,
    /// The database does not answer.
    DatabaseStalls,
}

impl Fault {
    /// Faults of the receivers.
    pub(super) const RECEIVERS: [Self; 4] =
        [Self::Kill, Self::Restart, Self::HandOver, Self::FullDisk];
    /// Faults of the receivers' environment.
    pub(super) const AROUND: [Self; 5] = [
        Self::VendorDown,
        Self::VendorFails,
        Self::SinkDown,
        Self::SinkSlow,
        Self::SinkLies,
    ];
    /// Faults of a shared store.
    pub(super) const DATABASE: [Self; 2] = [Self::DatabaseCut, Self::DatabaseStalls];

    /// The name in a report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "receiver killed (-9) and started",
            Self::Restart => "receiver stopped (SIGTERM) and started",
            Self::HandOver => "receiver followed by another process",
            Self::FullDisk => "disk full",
            Self::VendorDown => "vendor's API down",
            Self::VendorFails => "vendor's API failing",
            Self::SinkDown => "sink down",
            Self::SinkSlow => "sink slow",
            Self::SinkLies => "sink takes it and says 500",
            Self::DatabaseCut => "database cut",
            Self::DatabaseStalls => "database silent",
        }
    }

    /// Whether the fault makes the database unavailable.
    pub(super) fn is_of_database(self) -> bool {
        Self::DATABASE.contains(&self)
    }

    /// Whether an event that is being delivered during the fault may be delivered again.
    pub(super) fn may_repeat(self) -> bool {
        match self {
            Self::Kill
            | Self::Restart
            | Self::HandOver
            | Self::FullDisk
            | Self::DatabaseCut
            | Self::DatabaseStalls => true,
            Self::VendorDown
            | Self::VendorFails
            | Self::SinkDown
            | Self::SinkSlow
            | Self::SinkLies => false,
        }
    }
}
