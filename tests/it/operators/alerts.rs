//! Rules about what watches the service: alerts, their tests, the runbook and the dashboards name each other and only
//! metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use suki_receiver::domain::Cause;

use crate::support::{Receiver, failure, files_below, http};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// One alert of the rules: its name, and all that stands beneath it.
struct Alert {
    name: String,
    text: String,
}

fn alerts() -> Vec<Alert> {
    let rules = read("config/prometheus/rules.yml");
    let found: Vec<_> = rules
        .split("- alert: ")
        .skip(1)
        .map(|text| Alert {
            name: text.lines().next().unwrap().trim().to_owned(),
            text: text.to_owned(),
        })
        .collect();
    assert!(!found.is_empty());
    found
}

/// The value of a key that stands once in an alert.
fn value<'a>(alert: &'a Alert, key: &str) -> &'a str {
    alert
        .text
        .split_once(&format!(" {key}: "))
        .map_or("", |(_, rest)| rest.lines().next().unwrap().trim())
}

#[test]
fn every_alert_has_its_heading_in_the_runbook_and_every_such_heading_its_alert() {
    let runbook = read("docs/RUNBOOK.md");
    let headings: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## SukiReceiver"))
        .map(|rest| format!("SukiReceiver{rest}"))
        .collect();
    let names: BTreeSet<_> = alerts().into_iter().map(|alert| alert.name).collect();
    assert_eq!(names, headings);
}

#[test]
fn every_cause_has_its_heading_in_the_runbook_and_every_such_heading_its_cause() {
    let runbook = read("docs/RUNBOOK.md");
    let causes = runbook.split_once("\n## Causes\n").unwrap().1;
    let headings: BTreeSet<_> = causes
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let words: BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
    assert_eq!(words, headings);
}

#[test]
fn every_heading_of_the_runbook_says_what_it_means_where_to_look_how_to_mend_and_how_to_prove_it() {
    let runbook = read("docs/RUNBOOK.md");
    let mut wanting = Vec::new();
    for section in runbook.split("\n## ").skip(1) {
        let heading = section.lines().next().unwrap();
        if !heading.starts_with("SukiReceiver") {
            continue;
        }
        for part in ["For the notes", "Look", "Remedy", "Proof"] {
            if !section.contains(&format!("\n**{part}.** ")) {
                wanting.push(format!("{heading}: {part}"));
            }
        }
    }
    assert!(wanting.is_empty(), "{wanting:#?}");
}

#[test]
fn every_alert_says_how_grave_it_is_what_it_means_and_where_its_heading_is() {
    let mut wrong = Vec::new();
    for alert in alerts() {
        let severity = value(&alert, "severity");
        if !["page", "ticket", "none"].contains(&severity) {
            wrong.push(format!("{}: severity {severity}", alert.name));
        }
        for key in ["summary", "description"] {
            if value(&alert, key).is_empty() {
                wrong.push(format!("{}: no {key}", alert.name));
            }
        }
        let heading = format!("docs/RUNBOOK.md#{}", alert.name.to_lowercase());
        if value(&alert, "runbook_url") != heading {
            wrong.push(format!("{}: its runbook_url is not {heading}", alert.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let mut seen: BTreeSet<(String, &str)> = BTreeSet::new();
    for file in files_below(&root().join("config/prometheus/tests")) {
        let text = std::fs::read_to_string(file).unwrap();
        for check in text.split("- expr: ALERTS{alertname=\"").skip(1) {
            let name = check.split('"').next().unwrap();
            if check.contains("exp_samples: []") {
                seen.insert((name.to_owned(), "silent"));
            }
            for sample in check.split("- labels: 'ALERTS{").skip(1) {
                let of = |label: &str| {
                    let (_, rest) = sample.split_once(&format!("{label}=\"")).unwrap();
                    rest.split('"').next().unwrap().to_owned()
                };
                let severity = if of("severity") == "page" {
                    "page"
                } else {
                    "ticket"
                };
                seen.insert((of("alertname"), severity));
            }
        }
    }
    let mut untested = Vec::new();
    for alert in alerts() {
        // It always fires, so there is nothing to try.
        if value(&alert, "severity") == "none" {
            continue;
        }
        for how in [value(&alert, "severity"), "silent"] {
            if !seen.contains(&(alert.name.clone(), how)) {
                untested.push(format!("{}: {how}", alert.name));
            }
        }
    }
    assert!(untested.is_empty(), "{untested:#?}");
}

/// What is said of a process by Prometheus' convention; `metrics.rs` beside this file sees that it is there.
const PROCESS: [&str; 5] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
];

/// The names of what `src/metrics/describe.rs` describes, as a scrape shows them.
fn described() -> BTreeSet<String> {
    let text: String = read("src/metrics/describe.rs").split_whitespace().collect();
    let mut names = BTreeSet::new();
    for kind in ["counters", "gauges", "histograms"] {
        for entry in text.split(&format!("({kind},\"")).skip(1) {
            let name = format!("suki_receiver_{}", entry.split('"').next().unwrap());
            if kind == "histograms" {
                names.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
            } else {
                names.insert(name);
            }
        }
    }
    assert!(names.len() > 20, "{names:?}");
    names
}

/// The metrics that an expression names: what is neither a function, a keyword, a label nor a text.
fn metrics(expression: &str) -> Vec<String> {
    const KEYWORDS: [&str; 6] = ["and", "or", "unless", "offset", "bool", "inf"];
    const BEFORE_LABELS: [&str; 6] = [
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
    ];
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (mut found, mut rest) = (Vec::new(), expression);
    while let Some(first) = rest.chars().next() {
        let (skip, end) = match first {
            '"' => (1, rest[1..].find('"').unwrap() + 1),
            '{' => (1, rest.find('}').unwrap()),
            '[' => (1, rest.find(']').unwrap()),
            // A duration or a number, with its unit.
            c if c.is_ascii_digit() => (0, rest.find(|c| !is_part(c)).unwrap_or(rest.len())),
            c if is_part(c) => {
                let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                let (name, after) = (&rest[..end], rest[end..].trim_start());
                if BEFORE_LABELS.contains(&name) && after.starts_with('(') {
                    (0, rest.find(')').unwrap())
                } else {
                    let next = after.split(|c| !is_part(c)).next().unwrap();
                    let is_function = after.starts_with('(') || ["by", "without"].contains(&next);
                    if !is_function && !KEYWORDS.contains(&name) {
                        found.push(name.to_owned());
                    }
                    (0, end)
                }
            }
            c => (0, c.len_utf8()),
        };
        rest = &rest[end + skip..];
    }
    found
}

#[test]
fn metrics_are_told_from_functions_labels_and_texts() {
    let expression = r#"histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{job=~"x|$y"}[10m] offset 1w))) > 1e3
        and on (job) label_replace(up == bool 0, "a", "$1", "b", "(.*)") unless x:y:rate5m / ignoring(sink) z"#;
    assert_eq!(metrics(expression), ["a_bucket", "up", "x:y:rate5m", "z"]);
}

/// Every expression of rules and dashboards, by the file that it stands in.
fn expressions() -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    let rules = read("config/prometheus/rules.yml");
    let of_rules = rules.split(" expr: ").skip(1).map(|rest| {
        let mut lines = rest.lines();
        let first = lines.next().unwrap();
        if first != "|" {
            return first.to_owned();
        }
        // A block ends where a line is no deeper than a key of the rule.
        let block = lines.take_while(|line| line.is_empty() || line.starts_with("          "));
        block.collect::<Vec<_>>().join("\n")
    });
    all.insert("rules.yml".to_owned(), of_rules.collect::<Vec<_>>());
    for file in files_below(&root().join("config/grafana")) {
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = file.file_name().unwrap().display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        let mut found = Vec::new();
        collect(&serde_json::from_str(&text).unwrap(), &mut found);
        assert!(!found.is_empty(), "{name} has no expression");
        all.insert(name, found);
    }
    all
}

/// The values of every `expr`, and what a variable asks of the values of a label.
fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value) {
                    ("expr", Value::String(text)) => found.push(text.clone()),
                    ("definition", Value::String(text)) => {
                        let inner = text.strip_prefix("label_values(").unwrap();
                        found.push(inner.rsplit_once(',').unwrap().0.to_owned());
                    }
                    _ => collect(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

#[test]
fn every_metric_that_alerts_and_dashboards_name_is_one_that_there_is() {
    let (described, expressions) = (described(), expressions());
    let rules = read("config/prometheus/rules.yml");
    let recorded: BTreeSet<_> = rules
        .split("- record: ")
        .skip(1)
        .map(|rest| rest.lines().next().unwrap())
        .collect();
    let mut unknown = Vec::new();
    for (file, expressions) in &expressions {
        for name in expressions.iter().flat_map(|text| metrics(text)) {
            let is_known = described.contains(&name)
                || recorded.contains(name.as_str())
                || PROCESS.contains(&name.as_str())
                || name == "up"
                || name == "ALERTS";
            if !is_known {
                unknown.push(format!("{file}: {name}"));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(expressions["rules.yml"].len() > 30, "{expressions:#?}");
}

#[test]
fn every_metric_is_listed_for_those_who_read_them() {
    let page = read("docs/MONITORING.md");
    let is_listed = |name: &str| {
        let name = name.strip_prefix("suki_receiver_").unwrap();
        page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}{{"))
    };
    let missing: Vec<_> = described()
        .into_iter()
        .filter_map(|name| match name.strip_suffix("_bucket") {
            Some(histogram) => Some(histogram.to_owned()),
            // The other two series of a histogram.
            None if name.ends_with("_sum") || name.ends_with("_count") => None,
            None => Some(name),
        })
        .filter(|name| !is_listed(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn every_metric_of_a_scrape_has_a_help_text() {
    let receiver = Receiver::start().await;
    receiver.post(failure("a-session")).await;
    receiver.delivers_one().await;
    // A call without a token is counted as well.
    let url = format!("http://{}/api/v1/events", receiver.admin);
    assert_eq!(http().get(url).send().await.unwrap().status(), 401);
    let text = receiver.metrics().await;
    assert!(
        text.contains("suki_receiver_admin_refused_total{"),
        "{text}"
    );
    let with_help: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
        .collect();
    let without: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| !with_help.contains(name))
        .collect();
    assert!(without.is_empty(), "{without:?}");
}
