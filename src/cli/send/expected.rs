//! Compares the answers to the sent messages with the expected ones.
//!
//! It compares counts and not single messages: over several connections a duplicate may overtake its original, and then
//! the two answers are swapped.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::lab::simulator::{Expect, Report};

/// All answers that can be expected.
const ALL: [Expect; 4] = [
    Expect::Accepted,
    Expect::Duplicate,
    Expect::Unauthorized,
    Expect::Malformed,
];

/// The number of messages by expected answer.
#[derive(Debug, Default)]
pub(super) struct Expected([AtomicU64; ALL.len()]);

impl Expected {
    /// Counts one more message.
    pub(super) fn note(&self, expect: Expect) {
        for (counted, count) in ALL.iter().zip(&self.0) {
            if *counted == expect {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The differences between the answers and the expected ones, in words.
    pub(super) fn problems(&self, report: &Report) -> Vec<String> {
        let mut problems = failures(report);
        for (expect, count) in ALL.iter().zip(&self.0) {
            let (label, count) = (expect.label(), count.load(Ordering::Relaxed));
            let came = report.answers.get(label).copied().unwrap_or(0);
            if came != count {
                problems.push(format!("{label}: expected {count}, came {came}"));
            }
        }
        let unforeseen = |label: &str| ALL.iter().all(|expect| expect.label() != label);
        for (label, count) in &report.answers {
            if unforeseen(label) && !is_failure(label) {
                problems.push(format!("{label}: expected none, came {count}"));
            }
        }
        problems
    }
}

/// The unexpected answers to copies of one body. It is not known whether the body was sent before.
pub(super) fn problems_of_copies(report: &Report) -> Vec<String> {
    let mut problems = failures(report);
    for (label, count) in &report.answers {
        let (accepted, duplicate) = (Expect::Accepted.label(), Expect::Duplicate.label());
        if label == accepted && *count > 1 {
            problems.push(format!("{count} copies of one body were accepted"));
        } else if label != accepted && label != duplicate && !is_failure(label) {
            problems.push(format!("{label}: expected none, came {count}"));
        }
    }
    problems
}

/// Messages without an answer, and answers that report a failure of the receiver.
fn failures(report: &Report) -> Vec<String> {
    report
        .answers
        .iter()
        .filter(|(label, _)| is_failure(label))
        .map(|(label, count)| match label.strip_prefix("error: ") {
            Some(error) => format!("{count} without an answer: {error}"),
            None => format!("{count} answered {label}"),
        })
        .collect()
}

fn is_failure(label: &str) -> bool {
    label.starts_with("error: ") || label.starts_with('5')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::simulator::Answer;
    use std::time::Duration;

    fn report(answers: &[(u16, &'static str)]) -> Report {
        let mut report = Report::default();
        for (status, body) in answers {
            report.answered(&Answer {
                status: *status,
                body: body.as_bytes().into(),
                latency: Duration::ZERO,
            });
        }
        report
    }

    const ACCEPTED: (u16, &str) = (200, r#"{"result":"accepted"}"#);
    const DUPLICATE: (u16, &str) = (200, r#"{"result":"duplicate"}"#);

    #[test]
    fn answers_that_changed_places_are_as_expected() {
        let expected = Expected::default();
        expected.note(Expect::Accepted);
        expected.note(Expect::Duplicate);
        let none: [String; 0] = [];
        assert_eq!(expected.problems(&report(&[DUPLICATE, ACCEPTED])), none);
    }

    #[test]
    fn a_forged_message_that_is_accepted_is_named() {
        let expected = Expected::default();
        expected.note(Expect::Unauthorized);
        assert_eq!(
            expected.problems(&report(&[ACCEPTED])),
            [
                "200 accepted: expected 0, came 1",
                "401: expected 1, came 0"
            ]
        );
    }

    #[test]
    fn of_copies_at_most_one_is_accepted_and_the_rest_are_duplicates() {
        let none: [String; 0] = [];
        assert_eq!(problems_of_copies(&report(&[ACCEPTED, DUPLICATE])), none);
        assert_eq!(problems_of_copies(&report(&[DUPLICATE, DUPLICATE])), none);
        let wrong = problems_of_copies(&report(&[ACCEPTED, ACCEPTED, (503, ""), (401, "")]));
        assert_eq!(
            wrong,
            [
                "1 answered 503",
                "2 copies of one body were accepted",
                "401: expected none, came 1"
            ]
        );
    }
}
