//! The kinds of faults that the service is put to.

/// One thing that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// `kill -9` of a receiver, and a start.
    Kill,
    /// `SIGTERM`, and a start.
    Restart,
    /// A second process that gets the first one's sockets.
    HandOver,
    /// No file of a receiver may grow.
    FullDisk,
    /// The vendor's API is down.
    VendorDown,
    /// It answers wrongly, late or not to the end.
    VendorFails,
    /// The partner's endpoint answers 503.
    SinkDown,
    /// It takes its time.
    SinkSlow,
    /// It takes the event and says that it did not.
    SinkLies,
    /// The connections to the database are cut, and new ones refused.
    DatabaseCut,
    /// The database goes silent.
    DatabaseStalls,
}

impl Fault {
    /// What is done to receivers.
    pub(super) const RECEIVERS: [Self; 4] =
        [Self::Kill, Self::Restart, Self::HandOver, Self::FullDisk];
    /// What is done around them.
    pub(super) const AROUND: [Self; 5] = [
        Self::VendorDown,
        Self::VendorFails,
        Self::SinkDown,
        Self::SinkSlow,
        Self::SinkLies,
    ];
    /// What is done to a shared store.
    pub(super) const DATABASE: [Self; 2] = [Self::DatabaseCut, Self::DatabaseStalls];

    /// In a report.
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

    /// Whether it takes the database away.
    pub(super) fn is_of_database(self) -> bool {
        Self::DATABASE.contains(&self)
    }

    /// Whether an event that is being delivered at that moment may be delivered once more.
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
