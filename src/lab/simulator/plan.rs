//! The messages of a run. Each is a pure function of mix, seed and number, so any of them can be made without the
//! others.
//!
//! Bodies are made in `bodies`. This file determines the order of kinds, the originals of duplicates, and the answers
//! expected from a receiver.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::bodies::{self, Bodies};
use super::{Kind, Message, Mix, Session, Signing};

/// How many messages back the original of a duplicate may be.
const REACH: u64 = 64;

/// An endless run of messages.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The kinds in their order, which is repeated over and over.
    deck: Vec<Kind>,
    seed: u64,
    bodies: Bodies,
}

/// A message of a plan, with the data that is needed to judge its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The kind.
    pub kind: Kind,
    /// The message to send.
    pub message: Message,
    /// The message's session, which must be added to the simulated API; a malformed message has none.
    pub session: Option<Session>,
    /// The answer expected from a receiver with default settings.
    pub expect: Expect,
}

/// The expected answer to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// 200, result `accepted`.
    Accepted,
    /// 200, result `duplicate`.
    Duplicate,
    /// 401.
    Unauthorized,
    /// 400.
    Malformed,
}

impl Plan {
    /// The plan for this mix and seed. In every group of as many messages as the sum of the weights, each kind occurs
    /// as often as its weight says.
    pub fn new(mix: &Mix, seed: u64) -> Self {
        let mut deck = mix.cards();
        deck.shuffle(&mut StdRng::seed_from_u64(seed));
        // The original of a duplicate must come before it.
        if let Some(original) = deck.iter().position(|kind| kind.is_repeatable()) {
            deck.swap(0, original);
        }
        Self {
            deck,
            seed,
            bodies: Bodies::default(),
        }
    }

    /// Makes some links absolute, below this address.
    #[must_use]
    pub fn with_base(self, base: impl Into<String>) -> Self {
        Self {
            bodies: Bodies::below(base),
            ..self
        }
    }

    /// The message with this number, counted from 0.
    pub fn message(&self, number: u64) -> Planned {
        let kind = self.kind(number);
        let mut random = self.random(number);
        let message = |body: String| Message::new(body);
        let (message, session) = match kind {
            Kind::Duplicate => {
                let (body, session) = self.repeated(number, &mut random);
                (
                    message(bodies::rewritten(&body, &mut random)),
                    Some(session),
                )
            }
            Kind::Malformed => (message(bodies::malformed(&mut random)), None),
            original => {
                let (body, session) = self.bodies.original(original, &mut random);
                let signing = signing(original, &mut random);
                (message(body.to_string()).signed(signing), Some(session))
            }
        };
        Planned {
            kind,
            message,
            session,
            expect: kind.expect(),
        }
    }

    /// The first `count` messages.
    pub fn messages(&self, count: u64) -> impl Iterator<Item = Planned> {
        (0..count).map(|number| self.message(number))
    }

    fn kind(&self, number: u64) -> Kind {
        let cards = self.deck.len() as u64;
        self.deck[(number % cards) as usize]
    }

    /// The body and session of an earlier message.
    fn repeated(&self, number: u64, random: &mut StdRng) -> (Value, Session) {
        let latest = random.random_range(number.saturating_sub(REACH)..number);
        let original = (0..=latest)
            .rev()
            .find(|earlier| self.kind(*earlier).is_repeatable())
            .unwrap_or_default();
        self.bodies
            .original(self.kind(original), &mut self.random(original))
    }

    /// The source of randomness for one message.
    fn random(&self, number: u64) -> StdRng {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&number.to_le_bytes());
        StdRng::from_seed(seed)
    }
}

impl Kind {
    /// The answer expected from a receiver with default settings.
    pub fn expect(self) -> Expect {
        match self {
            Self::Duplicate => Expect::Duplicate,
            Self::BadSignature => Expect::Unauthorized,
            Self::Malformed => Expect::Malformed,
            Self::Success
            | Self::Failure
            | Self::Timeout
            | Self::Cancelled
            | Self::UnknownStatus
            | Self::FormFilling
            | Self::NoLinks
            | Self::Stale => Expect::Accepted,
        }
    }
}

impl Expect {
    /// The status and result word of the answer, in the form of `Answer::label`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Accepted => "200 accepted",
            Self::Duplicate => "200 duplicate",
            Self::Unauthorized => "401",
            Self::Malformed => "400",
        }
    }
}

fn signing(kind: Kind, random: &mut StdRng) -> Signing {
    match kind {
        Kind::Stale => Signing::Stale,
        Kind::BadSignature => *Signing::WRONG
            .choose(random)
            .unwrap_or(&Signing::WrongSecret),
        _ if random.random_ratio(1, 8) => Signing::UpperCase,
        _ => Signing::Right,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::domain::{LinkGroup, Notification, Outcome, SessionKind};

    fn parse(planned: &Planned) -> Notification {
        Notification::parse(planned.message.body.clone()).expect("a notification")
    }

    #[test]
    fn the_same_seed_gives_the_same_messages_and_another_seed_others() {
        let plan = |seed| {
            Plan::new(&Mix::default(), seed)
                .messages(100)
                .collect::<Vec<_>>()
        };
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn the_default_mix_has_every_kind_within_twenty_messages_whatever_the_seed() {
        for seed in 0..200 {
            let kinds: HashSet<_> = Plan::new(&Mix::default(), seed)
                .messages(20)
                .map(|planned| planned.kind)
                .collect();
            assert_eq!(kinds.len(), Kind::ALL.len(), "seed {seed}");
        }
    }

    #[test]
    fn kinds_come_in_the_proportions_of_their_weights() {
        let mix = "success=6,failure=3,timeout=1".parse().expect("parses");
        let mut counts = HashMap::new();
        for planned in Plan::new(&mix, 1).messages(1000) {
            *counts.entry(planned.kind).or_insert(0) += 1;
        }
        let expected = [
            (Kind::Success, 600),
            (Kind::Failure, 300),
            (Kind::Timeout, 100),
        ];
        assert_eq!(counts, HashMap::from(expected));
    }

    #[test]
    fn a_duplicate_is_one_event_with_an_earlier_message_and_all_others_are_new() {
        let mix = "success=1,failure=1,duplicate=3,form-filling=1,timeout=1"
            .parse()
            .expect("parses");
        let mut seen = HashSet::new();
        let mut other_bytes = HashSet::new();
        for planned in Plan::new(&mix, 3).messages(700) {
            let is_new = seen.insert(parse(&planned).dedupe);
            assert_eq!(is_new, planned.expect == Expect::Accepted, "{planned:?}");
            other_bytes.insert(planned.message.body);
        }
        assert!(other_bytes.len() > seen.len(), "some repeat in other bytes");
        assert!(other_bytes.len() < 700, "some repeat in the same bytes");
    }

    #[test]
    fn messages_say_what_the_vendor_says_for_their_kind() {
        for planned in Plan::new(&Mix::default(), 5).messages(180) {
            if planned.kind == Kind::Malformed {
                Notification::parse(planned.message.body.clone()).expect_err("no notification");
                continue;
            }
            let read = parse(&planned);
            let session = planned.session.as_ref().expect("a session");
            assert_eq!(read.session_id.as_str(), session.id);
            let groups: HashSet<_> = read
                .links()
                .iter()
                .map(|link| link.group.as_str())
                .collect();
            match planned.kind {
                Kind::Success => {
                    assert_eq!(groups, HashSet::from(LinkGroup::KNOWN));
                    assert_eq!(read.outcome(), Outcome::Completed);
                    let text = std::str::from_utf8(&planned.message.body).expect("text");
                    assert!(
                        text.ends_with(r#""status":"success"}"#),
                        "alphabetical: {text}"
                    );
                }
                Kind::Failure => assert!(read.error_code().is_some() && groups.is_empty()),
                Kind::Timeout | Kind::Cancelled => {
                    assert!(read.status().is_none() && read.encounter_id.is_some());
                }
                Kind::UnknownStatus => assert_eq!(read.outcome(), Outcome::Unknown),
                Kind::FormFilling => {
                    assert_eq!(
                        (read.kind(), session.kind),
                        (SessionKind::FormFilling, read.kind())
                    );
                }
                Kind::NoLinks => assert!(groups.is_empty() && read.outcome() == Outcome::Completed),
                Kind::Stale => assert_eq!(planned.message.signing, Signing::Stale),
                Kind::BadSignature => assert!(Signing::WRONG.contains(&planned.message.signing)),
                Kind::Duplicate | Kind::Malformed => {}
            }
        }
    }

    #[test]
    fn with_a_base_some_links_are_absolute_and_without_one_none_are() {
        let mix = "success=1".parse().expect("parses");
        let absolute = |plan: Plan| {
            plan.messages(100)
                .flat_map(|planned| parse(&planned).links().to_vec())
                .filter(|link| link.href.starts_with("http://sdp.example/api/v1/"))
                .count()
        };
        assert_eq!(absolute(Plan::new(&mix, 1)), 0);
        let some = absolute(Plan::new(&mix, 1).with_base("http://sdp.example"));
        assert!((1..600).contains(&some), "{some}");
    }
}
