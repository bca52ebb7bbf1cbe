//! Charts as SVG drawn by the server, each with its finding in words and its numbers in a table.

use maud::{Markup, PreEscaped, html};

/// The width of a chart's drawing, in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;

/// One series: a part of every bar, or a line.
pub(super) struct Series {
    pub(super) name: &'static str,
    /// The CSS class that gives the series its colour and pattern.
    pub(super) class: &'static str,
    pub(super) values: Vec<f64>,
}

/// A chart with its text and its table.
pub(super) struct Chart<'a> {
    /// Distinguishes the chart's elements from those of other charts on the page.
    pub(super) id: &'static str,
    pub(super) title: &'a str,
    /// The finding, in words.
    pub(super) finding: String,
    /// The label of each column.
    pub(super) columns: &'a [String],
    pub(super) series: Vec<Series>,
    pub(super) unit: &'static str,
}

impl Chart<'_> {
    /// Draws bars, with the series stacked.
    pub(super) fn bars(&self) -> Markup {
        let most = self.most_together();
        let step = WIDTH / count(self.columns.len()).max(1.0);
        let mut svg = String::new();
        for column in 0..self.columns.len() {
            let mut bottom = HEIGHT;
            for series in &self.series {
                let height = series.values[column] / most * HEIGHT;
                if height <= 0.0 {
                    continue;
                }
                bottom -= height;
                svg.push_str(&format!(
                    "<rect class=\"{}\" x=\"{:.2}\" y=\"{bottom:.2}\" width=\"{:.2}\" height=\"{height:.2}\"/>",
                    series.class,
                    count(column) * step,
                    (step * 0.82).max(0.8),
                ));
            }
        }
        self.figure(&svg, most)
    }

    /// Draws a line for each series, with a gap for each missing value.
    pub(super) fn lines(&self) -> Markup {
        let values = self.series.iter().flat_map(|series| &series.values);
        let most = values
            .copied()
            .filter(|value| value.is_finite())
            .fold(0.0, f64::max);
        let most = if most > 0.0 { most } else { 1.0 };
        let step = WIDTH / count(self.columns.len().saturating_sub(1)).max(1.0);
        let mut svg = String::new();
        for series in &self.series {
            let mut path = String::new();
            let mut is_drawn = false;
            for (column, value) in series.values.iter().enumerate() {
                if !value.is_finite() {
                    is_drawn = false;
                    continue;
                }
                let (x, y) = (count(column) * step, HEIGHT - value / most * HEIGHT);
                let order = if is_drawn { 'L' } else { 'M' };
                path.push_str(&format!("{order}{x:.2} {y:.2}"));
                if !is_drawn {
                    // A single value between two gaps is drawn as a dash, so that it is visible.
                    path.push_str(&format!("L{:.2} {y:.2}", x + step * 0.6));
                }
                is_drawn = true;
            }
            svg.push_str(&format!(
                "<path class=\"line {}\" d=\"{path}\"/>",
                series.class
            ));
        }
        self.figure(&svg, most)
    }

    fn most_together(&self) -> f64 {
        let columns = 0..self.columns.len();
        let together = columns.map(|column| {
            let values = self.series.iter().map(|series| series.values[column]);
            values.sum::<f64>()
        });
        let most = together.fold(0.0, f64::max);
        if most > 0.0 { most } else { 1.0 }
    }

    fn figure(&self, svg: &str, most: f64) -> Markup {
        let (title, finding) = (format!("{}-title", self.id), format!("{}-finding", self.id));
        html! {
            figure.chart #(self.id) data-refresh {
                figcaption {
                    span.chart-title { (self.title) }
                    span.legend {
                        @for series in &self.series { span class={ "key " (series.class) } { (series.name) } }
                    }
                }
                div.plot {
                    span.scale aria-hidden="true" { (value(most)) (self.unit) }
                    svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                        aria-labelledby={ (title) " " (finding) } {
                        title id=(title) { (self.title) }
                        desc id=(finding) { (self.finding) }
                        (PreEscaped(svg))
                    }
                }
                div.axis aria-hidden="true" {
                    span { (self.columns.first().map_or("", String::as_str)) }
                    span { (self.columns.last().map_or("", String::as_str)) }
                }
                p.finding { (self.finding) }
                details.numbers {
                    summary { "Numbers" }
                    div.scroll tabindex="0" role="region" aria-label={ (self.title) ", numbers" } {
                        table {
                            thead { tr {
                                th scope="col" { "Minute" }
                                @for series in &self.series { th scope="col" { (series.name) } }
                            } }
                            tbody {
                                @for (column, name) in self.columns.iter().enumerate() {
                                    tr {
                                        th scope="row" { (name) }
                                        @for series in &self.series {
                                            td.number { (cell(series.values[column])) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(number: f64) -> String {
    if number.is_finite() {
        value(number)
    } else {
        "–".to_owned()
    }
}

/// A value with as many digits as are useful.
fn value(number: f64) -> String {
    if number >= 100.0 || number.fract() == 0.0 {
        format!("{number:.0}")
    } else {
        format!("{number:.1}")
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a chart has some hundred columns"
)]
fn count(columns: usize) -> f64 {
    columns as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: Vec<f64>) -> Chart<'static> {
        static COLUMNS: std::sync::LazyLock<Vec<String>> =
            std::sync::LazyLock::new(|| vec!["09:00".to_owned(), "09:01".to_owned()]);
        Chart {
            id: "received",
            title: "Received",
            finding: "Peak 4 a minute at 09:01.".to_owned(),
            columns: &COLUMNS,
            series: vec![Series {
                name: "completed",
                class: "a",
                values,
            }],
            unit: "",
        }
    }

    #[test]
    fn a_chart_says_in_words_and_numbers_what_it_shows() {
        let drawn = chart(vec![2.0, 4.0]).bars().into_string();
        assert!(drawn.contains("Peak 4 a minute at 09:01."), "{drawn}");
        assert!(drawn.contains(r#"height="60.00""#) && drawn.contains(r#"height="120.00""#));
        assert!(drawn.contains("<td class=\"number\">4</td>"), "{drawn}");
        assert!(!drawn.contains("style="), "the policy forbids it");
    }

    #[test]
    fn a_line_is_broken_where_nothing_was_measured_and_no_number_is_drawn_that_is_none() {
        let drawn = chart(vec![f64::NAN, 4.0]).lines().into_string();
        assert!(drawn.contains("<td class=\"number\">–</td>"), "{drawn}");
        assert!(!drawn.contains("NaN"), "{drawn}");
        let empty = chart(vec![0.0, 0.0]).bars().into_string();
        assert!(!empty.contains("<rect"), "{empty}");
    }
}
