//! An alert that a sink was told of, and not of its end yet: what a later process has to tell the end of.

use jiff::Timestamp;

/// An alert that a sink was told of. Names of the configuration and counts alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldAlert {
    /// The sink.
    pub sink: String,
    /// The kind of alert, in a word.
    pub alert: String,
    /// Which sink or listener it is about; empty for the service as a whole.
    pub about: String,
    /// When it was raised.
    pub since: Timestamp,
    /// What it is, in a sentence.
    pub message: String,
}
