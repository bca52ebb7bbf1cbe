//! `[log]`: the level and the format of the log.

use tracing_subscriber::EnvFilter;

use super::check;
use crate::config::reader::section::Section;
use crate::config::reader::setting::Word;

/// The settings of the log.
#[derive(Debug, Clone)]
pub struct Log {
    /// The format of a line.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,suki_receiver=debug`.
    pub level: String,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text if stderr is a terminal, else JSON.
    Auto,
    /// One JSON object on each line.
    Json,
    /// Text for people.
    Text,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: "info".to_owned(),
        }
    }
}

impl Word for LogFormat {
    const ALL: &'static [Self] = &[Self::Auto, Self::Json, Self::Text];

    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            format: section.get("format", default.format),
            level: section.checked("level", default.level, |level| known_level(level)),
        }
    }
}

fn known_level(level: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // A filter accepts any single word as the name of a module, so a mistyped level would log next to nothing.
    let is_filter = level.contains('=') && EnvFilter::builder().parse(level).is_ok();
    check::ensure(LEVELS.contains(&level) || is_filter, || {
        format!(
            "unknown log level '{level}'; expected {} or a filter such as info,suki_receiver=debug",
            LEVELS.join(", ")
        )
    })
}
