//! What was measured: series of figures, and the one table of them as Markdown and as JSON.
//!
//! Adds up and prints; measures nothing.

use std::fmt::{self, Write};

use serde::Serialize;

/// The figures of several rounds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<f64>);

/// The middle of a series, and its ends.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Summary {
    median: f64,
    low: f64,
    high: f64,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    figure: Option<Summary>,
    /// To what it is compared, and how many times that it is.
    ratio: Option<(&'static str, Summary)>,
    /// Further figures with their names: medians.
    more: Vec<(String, f64)>,
    note: String,
}

/// All that a run has measured.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    version: &'static str,
    date: String,
    cores: usize,
    rounds: usize,
    quick: bool,
    rows: Vec<Row>,
}

impl Series {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    /// This series over another one, round by round, since neighbours in time share what else the machine does.
    pub(crate) fn over(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(one, other)| one / other).collect())
    }

    fn summary(&self) -> Summary {
        Summary {
            median: self.median(),
            low: self.0.iter().copied().fold(f64::INFINITY, f64::min),
            high: self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, figures: &Series) -> Self {
        Self {
            figure: Some(figures.summary()),
            ..Self::without_figure(what, unit)
        }
    }

    /// A line for what could not be measured; the note says why.
    pub(crate) fn without_figure(what: impl Into<String>, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            unit,
            figure: None,
            ratio: None,
            more: Vec::new(),
            note: String::new(),
        }
    }

    #[must_use]
    pub(crate) fn ratio(mut self, to: &'static str, ratios: &Series) -> Self {
        self.ratio = Some((to, ratios.summary()));
        self
    }

    #[must_use]
    pub(crate) fn more(mut self, name: impl Into<String>, figures: &Series) -> Self {
        self.more.push((name.into(), figures.median()));
        self
    }

    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

impl Table {
    pub(crate) fn new(rounds: usize, quick: bool) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            date: jiff::Timestamp::now().to_string(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            rounds,
            quick,
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: Row) {
        eprintln!("   {}", row.what);
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            version,
            date,
            cores,
            rounds,
            ..
        } = self;
        let quick = if self.quick { ", shortened" } else { "" };
        writeln!(
            f,
            "suki-receiver {version}, {date}, {cores} cores, {rounds} rounds{quick}. Figures are medians, with the \
             lowest and the highest beside them.\n"
        )?;
        writeln!(f, "| What | Figure | Spread | Ratio | More |")?;
        writeln!(f, "| --- | ---: | ---: | ---: | --- |")?;
        for row in &self.rows {
            let (figure, spread) = match row.figure {
                Some(Summary { median, low, high }) => (
                    format!("{} {}", number(median), row.unit),
                    format!("{}–{}", number(low), number(high)),
                ),
                None => Default::default(),
            };
            let ratio = row.ratio.map_or_else(String::new, |(to, ratio)| {
                let Summary { median, low, high } = ratio;
                format!("{median:.2} × {to} ({low:.2}–{high:.2})")
            });
            let mut more = row.note.clone();
            for (name, value) in &row.more {
                let comma = if more.is_empty() { "" } else { ", " };
                write!(more, "{comma}{name} {}", number(*value))?;
            }
            writeln!(
                f,
                "| {} | {figure} | {spread} | {ratio} | {more} |",
                row.what
            )?;
        }
        Ok(())
    }
}

/// With as many digits as say something, and commas between the thousands.
fn number(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}
