//! Tables for people: aligned columns if they fit a terminal of 80 columns, else lines.

/// The width that every terminal has.
const WIDTH: usize = 80;

/// Rows as lines with aligned columns, indented by `indent` spaces. If a line would be too long, each row is wrapped
/// into several lines.
pub(super) fn fitted<const N: usize>(rows: &[[String; N]], indent: usize) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| printable(cell)))
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let aligned = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let line = format!("{}{}", " ".repeat(indent), cells.join("  "));
        line.trim_end().to_owned()
    };
    let fits = rows.iter().all(|row| aligned(row).chars().count() <= WIDTH);
    let mut text = String::new();
    for row in &rows {
        if fits {
            text.push_str(&aligned(row));
            text.push('\n');
        } else if N == 2 {
            let first = format!(
                "{}{:width$}  ",
                " ".repeat(indent),
                row[0],
                width = widths[0]
            );
            text.push_str(&wrapped(&first, &row[1], first.chars().count()));
        } else {
            let cells: Vec<&str> = row
                .iter()
                .map(String::as_str)
                .filter(|cell| !cell.is_empty())
                .collect();
            text.push_str(&wrapped(&" ".repeat(indent), &cells.join("  "), indent + 4));
        }
    }
    text
}

/// A text after `first`, wrapped between words; further lines are indented by `hanging` spaces. A word that is longer
/// than a line is not split, so that it can be copied.
pub(super) fn wrapped(first: &str, text: &str, hanging: usize) -> String {
    let (mut lines, mut line) = (String::new(), first.to_owned());
    let mut is_empty = true;
    for word in text.split(' ') {
        let length = line.chars().count() + word.chars().count();
        if !is_empty && length + 1 > WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = " ".repeat(hanging);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

/// The text, or a dash if there is none.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

/// The text without control characters: text from others must not control the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_shown_as_such() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let text = fitted(&[row("ID", "STATE"), row("ä\u{1b}[31m", "done")], 1);
        assert_eq!(text, " ID      STATE\n ä\u{fffd}[31m  done\n");
    }

    #[test]
    fn no_line_is_longer_than_80_columns_but_for_a_word_that_is() {
        let long = "several words ".repeat(20);
        let href = format!("/{}", "x".repeat(100));
        let three = |a: &str, b: &str, c: &str| [a.to_owned(), b.to_owned(), c.to_owned()];
        let text = fitted(&[three("0", &href, &long), three("1", "/y", "")], 2)
            + &fitted(&[["last error".to_owned(), long.clone()]], 0);
        for line in text.lines() {
            assert!(
                line.chars().count() <= WIDTH || line.contains(&href),
                "{line}"
            );
        }
        assert_eq!(text.matches("several").count(), 40);
    }
}
