//! Tables for results: words are aligned to the left, numbers to the right. They have no colour, so that they can be
//! piped.

use std::fmt;

/// The spaces between two columns.
const GAP: &str = "   ";

/// Rows of cells.
pub(crate) struct Table<const N: usize> {
    head: Option<[String; N]>,
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these headings.
    pub(crate) fn new(head: &[&str; N]) -> Self {
        Self {
            head: Some(head.map(str::to_owned)),
            rows: Vec::new(),
        }
    }

    /// A table without headings.
    pub(crate) fn plain() -> Self {
        Self {
            head: None,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    fn width(&self, column: usize) -> usize {
        let all = self.head.iter().chain(&self.rows);
        all.map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    }

    fn is_numeric(&self, column: usize) -> bool {
        self.rows
            .iter()
            .all(|row| row[column].chars().all(|c| c.is_ascii_digit()))
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, row) in self.head.iter().chain(&self.rows).enumerate() {
            let cells: Vec<_> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| {
                    let width = self.width(column);
                    if self.is_numeric(column) {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:<width$}")
                    }
                })
                .collect();
            let newline = if number == 0 { "" } else { "\n" };
            write!(f, "{newline}  {}", cells.join(GAP).trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_to_the_left_and_numbers_to_the_right() {
        let mut table = Table::new(&["kind", "sent"]);
        table.row(["success".to_owned(), "7".to_owned()]);
        table.row(["no".to_owned(), "12345".to_owned()]);
        insta::assert_snapshot!(table.to_string(), @"
          kind       sent
          success       7
          no        12345
        ");
    }
}
