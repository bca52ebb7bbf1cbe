//! Logging for the process: lines go to stderr through a bounded buffer, JSON where stderr is no terminal.
//!
//! The log subscriber is the only global of the program; only the command line installs it.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// The number of lines that may wait for a slow stderr. Further lines are dropped and counted, so that logging never
/// delays a notification.
const BUFFERED_LINES: usize = 32_768;

/// The bytes of lines that are written together at most.
const BUFFER: usize = 64 * 1024;
/// How long the log's thread rests after each write. Lines that are logged meanwhile are written together, and logging
/// them wakes no thread.
const REST: Duration = Duration::from_millis(2);

/// Flushes the log when dropped.
pub struct Logging {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Logging {
    /// The counter of dropped lines.
    pub fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

/// Starts logging as configured, with colour if `has_color`.
///
/// # Errors
/// When the level is not a valid filter, or logging was started before.
pub fn init(config: &Log, has_color: bool) -> anyhow::Result<Logging> {
    let filter = EnvFilter::try_new(&config.level).with_context(|| {
        format!(
            "log.level: invalid filter '{}'; expected error, warn, info, debug or trace",
            config.level
        )
    })?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(BUFFERED_LINES)
        .thread_name("log-writer")
        .finish(Batched::new(io::stderr()));
    let dropped = writer.error_counter();
    let is_terminal = io::stderr().is_terminal();
    let as_json = match config.format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    let started = if as_json {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init()
    } else {
        lines.with_ansi(is_terminal && has_color).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))?;
    say_where_a_panic_was();
    Ok(Logging {
        _guard: guard,
        dropped,
    })
}

/// Writes the lines that are waiting with one call to the system, not one by one. The log's thread flushes when no more
/// lines are waiting.
struct Batched<W: Write>(BufWriter<W>);

impl<W: Write> Batched<W> {
    fn new(writer: W) -> Self {
        Self(BufWriter::with_capacity(BUFFER, writer))
    }
}

impl<W: Write> Write for Batched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        thread::sleep(REST);
        Ok(())
    }
}

/// Logs the place of a panic and not its message, which may quote patient data.
fn say_where_a_panic_was() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panicked");
    }));
}
