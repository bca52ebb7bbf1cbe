//! The balance of the demo: compares what was sent with what was delivered. Each pair of numbers is counted by two
//! independent parties.

use super::facts::Facts;
use super::play::Played;
use crate::domain::{EventState, ExpectedState};
use crate::lab::simulator::Expect;

/// A check of the balance.
pub(super) struct Check {
    /// The check in words, with its numbers.
    pub(super) text: String,
    /// Whether it holds.
    pub(super) holds: bool,
}

/// All checks of the balance.
pub(super) fn checks(played: &Played, facts: &Facts) -> Vec<Check> {
    use EventState::{Dead, Delivering, Done, Quarantined, Received, Retrieving};
    let (done, dead) = (facts.events(&[Done]), facts.events(&[Dead]));
    let under_way = facts.events(&[Received, Retrieving, Delivering]);
    let events = done + under_way + dead;
    let accepted = played.answered(Expect::Accepted);
    let recovered = facts.expected(ExpectedState::Recovered);
    let quarantined = facts.events(&[Quarantined]);
    let malformed = played.answered(Expect::Malformed);
    let (files, got) = (facts.files.len() as u64, &facts.got);
    let taken = got.ids.len() as u64;
    let unexpected = unexpected(played);
    vec![
        check(
            unexpected == 0,
            format!(
                "answers: {} as expected, {unexpected} not",
                played.report.total() - unexpected
            ),
        ),
        check(
            accepted + recovered == events,
            format!(
                "{accepted} accepted + {recovered} recovered = {done} done + {under_way} in progress + {dead} dead"
            ),
        ),
        check(
            recovered == played.dropped,
            format!(
                "{} notifications dropped on their way = {recovered} sessions recovered",
                played.dropped
            ),
        ),
        check(
            played.came_to_rest && dead == 0,
            format!("nothing left over: {under_way} in progress, {dead} dead"),
        ),
        check(
            malformed == quarantined,
            format!("{malformed} answered 400 = {quarantined} in quarantine"),
        ),
        check(
            files == events,
            format!("{files} files in the folder = {events} events"),
        ),
        check(
            taken == events && got.forged == 0,
            format!(
                "{taken} taken by the endpoint = {events} events; {} with a wrong signature",
                got.forged
            ),
        ),
    ]
}

/// The number of messages that were not answered as expected for their kind.
fn unexpected(played: &Played) -> u64 {
    played
        .answers
        .iter()
        .filter(|((kind, answer), _)| kind.expect().label() != answer)
        .map(|(_, count)| count)
        .sum()
}

fn check(holds: bool, text: String) -> Check {
    Check { text, holds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::demo::inbox::Got;
    use crate::lab::simulator::{Answer, Kind};
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::time::Duration;

    /// One success that was delivered completely.
    fn whole() -> (Played, Facts) {
        let mut played = Played {
            came_to_rest: true,
            ..Played::default()
        };
        played.report.answered(&Answer {
            status: 200,
            body: r#"{"result":"accepted"}"#.into(),
            latency: Duration::ZERO,
        });
        let label = Expect::Accepted.label().to_owned();
        played.answers.insert((Kind::Success, label), 1);
        let facts = Facts {
            states: BTreeMap::from([(EventState::Done, 1)]),
            expected: Vec::new(),
            calls: Vec::new(),
            links: BTreeMap::new(),
            delivered: BTreeMap::new(),
            files: vec![PathBuf::from("1.json")],
            got: Got {
                ids: ["1".to_owned()].into(),
                ..Got::default()
            },
            sample: None,
            median_to_file: None,
        };
        (played, facts)
    }

    /// The numbers of the checks that do not hold.
    fn off(played: &Played, facts: &Facts) -> Vec<usize> {
        let checks = checks(played, facts);
        (0..checks.len()).filter(|at| !checks[*at].holds).collect()
    }

    #[test]
    fn whatever_is_off_is_noticed() {
        let (played, facts) = whole();
        assert_eq!(off(&played, &facts), [] as [usize; 0]);
        type Spoil = fn(&mut Played, &mut Facts);
        let cases: [(Spoil, &[usize]); 8] = [
            (|_, facts| facts.files.clear(), &[5]),
            (|_, facts| facts.got.ids.clear(), &[6]),
            (|_, facts| facts.got.forged = 1, &[6]),
            (|played, _| played.came_to_rest = false, &[3]),
            (|played, _| played.dropped = 1, &[2]),
            (
                |_, facts| facts.states = BTreeMap::from([(EventState::Dead, 1)]),
                &[3],
            ),
            (|_, facts| facts.states.clear(), &[1, 5, 6]),
            (
                |played, _| {
                    played.answers =
                        BTreeMap::from([((Kind::BadSignature, "200 accepted".to_owned()), 1)]);
                },
                &[0],
            ),
        ];
        for (spoil, expected) in cases {
            let (mut played, mut facts) = whole();
            spoil(&mut played, &mut facts);
            assert_eq!(off(&played, &facts), expected);
        }
    }
}
