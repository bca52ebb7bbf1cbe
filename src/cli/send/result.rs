//! Prints the result of `send`: a table for people, or JSON.

use serde_json::json;

use crate::lab::simulator::Report;
use crate::terminal::{emit, emit_json, note};

/// Prints the result to stdout, and its problems to stderr.
pub(super) fn print(report: &Report, problems: &[String], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        emit_json(&to_json(report, problems))?;
    } else {
        emit(format!("{report}\n").as_bytes())?;
    }
    for problem in problems {
        note!("not as expected: {problem}");
    }
    Ok(())
}

fn to_json(report: &Report, problems: &[String]) -> serde_json::Value {
    let millis = |quantile| report.latency(quantile).as_secs_f64() * 1000.0;
    json!({
        "sent": report.total(),
        "answers": report.answers,
        "elapsed_seconds": report.elapsed.as_secs_f64(),
        "answers_per_second": report.throughput(),
        "latency_ms": {
            "p50": millis(0.5),
            "p90": millis(0.9),
            "p99": millis(0.99),
            "p99.9": millis(0.999),
            "max": millis(1.0),
        },
        "as_expected": problems.is_empty(),
        "problems": problems,
    })
}
