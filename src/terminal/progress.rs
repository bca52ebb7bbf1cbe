//! The progress of long work: a bar for each phase on a terminal, or else a plain line every few seconds.
//!
//! The progress is written to stderr, so that results can be piped.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::terminal::note;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The interval at which the progress is updated.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// The interval at which a plain line is written.
const PLAIN_EVERY: Duration = Duration::from_secs(3);

/// The progress of one piece of work in phases.
pub(crate) struct Progress {
    phases: Vec<Phase>,
    is_plain: bool,
    last_line: Instant,
}

struct Phase {
    name: &'static str,
    of: u64,
    bar: ProgressBar,
}

impl Progress {
    /// Starts the display of phases, each with its name and its amount of work.
    pub(crate) fn new(phases: &[(&'static str, u64)]) -> Self {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:<10} {bar:40} {pos:>7} of {len}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let phases = phases
            .iter()
            .map(|&(name, of)| {
                let bar = ProgressBar::new(of).with_style(style.clone());
                let bar = all.add(bar.with_prefix(name));
                bar.tick();
                Phase { name, of, bar }
            })
            .collect();
        Self {
            phases,
            is_plain: !std::io::stderr().is_terminal(),
            last_line: Instant::now(),
        }
    }

    /// Sets how much of each phase is done, in their order.
    pub(crate) fn set(&mut self, done: &[u64]) {
        for (phase, done) in self.phases.iter().zip(done) {
            phase.bar.set_position(*done);
        }
        if self.is_plain && self.last_line.elapsed() >= PLAIN_EVERY {
            self.line();
        }
    }

    /// Ends the display. The last state stays on the screen.
    pub(crate) fn finish(self) {
        if self.is_plain {
            self.line_now();
        }
        for phase in &self.phases {
            phase.bar.abandon();
        }
    }

    fn line(&mut self) {
        self.last_line = Instant::now();
        self.line_now();
    }

    fn line_now(&self) {
        let parts: Vec<_> = self
            .phases
            .iter()
            .map(|phase| format!("{} {} of {}", phase.name, phase.bar.position(), phase.of))
            .collect();
        note!("{}", parts.join(", "));
    }
}
