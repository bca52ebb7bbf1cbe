//! Aligned columns for people.

/// Rows as lines with aligned columns, each behind `indent` spaces.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]], indent: usize) -> String {
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
    let mut text = String::new();
    for row in &rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The text, or a dash where there is none.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

/// What others sent must not steer the terminal.
fn printable(text: &str) -> String {
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
        let text = aligned(&[row("ID", "STATE"), row("ä\u{1b}[31m", "done")], 1);
        assert_eq!(text, " ID      STATE\n ä\u{fffd}[31m  done\n");
    }
}
