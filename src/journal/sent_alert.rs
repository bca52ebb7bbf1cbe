//! An alert whose beginning was sent to a sink and whose end was not yet. A later process has to send that end.

use jiff::Timestamp;

/// An alert that was sent to a sink. Holds only names from the configuration and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentAlert {
    /// The sink.
    pub sink: String,
    /// The kind of alert.
    pub alert: String,
    /// The sink or listener that it is about; empty if it is about the whole service.
    pub about: String,
    /// When it was raised.
    pub since: Timestamp,
    /// The message.
    pub message: String,
}
