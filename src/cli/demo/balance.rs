//! Whether it balances: what went in against what came out, each pair counted by two who do not share their books.

use super::facts::Facts;
use super::play::Played;
use crate::domain::EventState;
use crate::simulator::Expect;

/// One thing that has to be so.
pub(super) struct Check {
    /// What, with its numbers.
    pub(super) text: String,
    /// Whether it is.
    pub(super) holds: bool,
}

/// Everything that has to be so.
pub(super) fn checks(played: &Played, facts: &Facts) -> Vec<Check> {
    use EventState::{Dead, Delivering, Done, Quarantined, Received, Retrieving};
    let (done, dead) = (facts.events(&[Done]), facts.events(&[Dead]));
    let under_way = facts.events(&[Received, Retrieving, Delivering]);
    let events = done + under_way + dead;
    let accepted = played.answered(Expect::Accepted);
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
            accepted == events,
            format!("{accepted} accepted = {done} done + {under_way} in progress + {dead} dead"),
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

/// How many messages were not answered as their kind should be.
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
