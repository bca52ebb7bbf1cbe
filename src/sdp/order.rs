//! Which identities are tried for a session, and in which order. Pure.

use std::sync::Arc;

use crate::config::{Identity, ProviderPattern};

/// The most other identities that are tried, that is, those for which nothing speaks.
const MOST_OTHERS: usize = 3;

/// An identity and, if it needs one, the provider for which it acts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Who {
    /// The identity's index in the configuration.
    pub(super) identity: usize,
    /// The provider, if the identity needs a provider's name.
    pub(super) provider: Option<Arc<str>>,
}

/// The properties of an identity that determine its place in the order.
pub(super) struct Rule {
    is_default: bool,
    takes_provider: bool,
    matches: Vec<ProviderPattern>,
}

/// What is remembered of a session and of its encounter.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// The identity that read this session last.
    pub(super) session: Option<Who>,
    /// The identity that last read a session of its encounter.
    pub(super) encounter: Option<Who>,
    /// The last of the other identities that was tried without success; the next call begins after it.
    pub(super) turn: Option<usize>,
}

impl Rule {
    pub(super) fn of(identity: &Identity) -> Self {
        Self {
            is_default: identity.is_default(),
            takes_provider: identity.auth.is_per_provider(),
            matches: identity.matches.clone(),
        }
    }

    fn fits(&self, provider: Option<&str>) -> bool {
        let fits = |provider| self.matches.iter().any(|pattern| pattern.fits(provider));
        provider.is_some_and(fits)
    }

    /// The identity with its provider. `None` when it needs a provider's name and none is known.
    fn who(&self, identity: usize, provider: Option<&Arc<str>>) -> Option<Who> {
        if self.takes_provider {
            provider?;
        }
        Some(Who {
            identity,
            provider: provider.filter(|_| self.takes_provider).cloned(),
        })
    }
}

/// The identities to try, in order: the one that read this session last, those configured for its provider, the one
/// that read its encounter last, the default, and some of the others in turn.
pub(super) fn order(rules: &[Rule], known: &Known, provider: Option<&str>) -> Vec<Who> {
    let name: Option<Arc<str>> = provider.map(Arc::from);
    let asking = |fits: &dyn Fn(&Rule) -> bool| -> Vec<Who> {
        let rules = rules.iter().enumerate().filter(|(_, rule)| fits(rule));
        rules
            .filter_map(|(at, rule)| rule.who(at, name.as_ref()))
            .collect()
    };
    let likely = known
        .session
        .iter()
        .cloned()
        .chain(asking(&|rule| !rule.is_default && rule.fits(provider)))
        .chain(known.encounter.clone())
        .chain(asking(&|rule| rule.is_default));
    let mut order: Vec<Who> = Vec::new();
    for who in likely {
        if !order.contains(&who) {
            order.push(who);
        }
    }
    let mut others = asking(&|rule| !rule.is_default && !rule.takes_provider);
    others.retain(|who| !order.contains(who));
    let had_its_turn = |who: &Who| known.turn.is_some_and(|turn| who.identity <= turn);
    let (later, sooner): (Vec<_>, Vec<_>) = others.into_iter().partition(had_its_turn);
    order.extend(sooner.into_iter().chain(later).take(MOST_OTHERS));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The identities, each with a letter: the default, two for one clinic, one for every provider by name, five
    /// others.
    fn rules() -> Vec<Rule> {
        let rule = |matches: &[&str], takes_provider| Rule {
            is_default: matches.is_empty(),
            takes_provider,
            matches: matches
                .iter()
                .map(|text| ProviderPattern::new(text).expect(text))
                .collect(),
        };
        vec![
            rule(&[], false),
            rule(&["a-*"], false),
            rule(&["a-1", "b-1"], false),
            rule(&["*"], true),
            rule(&["4"], false),
            rule(&["5"], false),
            rule(&["6"], false),
            rule(&["7"], false),
            rule(&["8"], false),
        ]
    }

    fn who(identity: usize, provider: Option<&str>) -> Who {
        let provider = provider.map(Arc::from);
        Who { identity, provider }
    }

    /// The identities to try, as `identity` or `identity:provider`.
    fn asked(known: &Known, provider: Option<&str>) -> String {
        let asked = order(&rules(), known, provider);
        let words = asked.iter().map(|who| match &who.provider {
            Some(provider) => format!("{}:{provider}", who.identity),
            None => who.identity.to_string(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn without_a_word_of_the_provider_the_default_is_asked_and_three_others() {
        assert_eq!(asked(&Known::default(), None), "0 1 2 4");
    }

    #[test]
    fn those_that_are_for_the_provider_come_before_the_default_in_the_order_of_the_configuration() {
        assert_eq!(asked(&Known::default(), Some("a-1")), "1 2 3:a-1 0 4 5 6");
        assert_eq!(asked(&Known::default(), Some("b-1")), "2 3:b-1 0 1 4 5");
        assert_eq!(asked(&Known::default(), Some("7")), "3:7 7 0 1 2 4");
    }

    #[test]
    fn who_read_the_session_is_asked_first_and_who_read_the_encounter_before_the_default() {
        let known = Known {
            session: Some(who(8, None)),
            encounter: Some(who(3, Some("z"))),
            turn: None,
        };
        assert_eq!(asked(&known, None), "8 3:z 0 1 2 4");
        assert_eq!(asked(&known, Some("b-1")), "8 2 3:b-1 3:z 0 1 4 5");
    }

    #[test]
    fn nobody_is_asked_twice() {
        let known = Known {
            session: Some(who(0, None)),
            encounter: Some(who(0, None)),
            turn: None,
        };
        assert_eq!(asked(&known, None), "0 1 2 4");
    }

    #[test]
    fn the_others_are_asked_in_turn() {
        let after = |turn| Known {
            turn: Some(turn),
            ..Known::default()
        };
        assert_eq!(asked(&after(4), None), "0 5 6 7");
        assert_eq!(asked(&after(7), None), "0 8 1 2");
        assert_eq!(asked(&after(8), None), "0 1 2 4");
    }

    #[test]
    fn one_that_takes_the_providers_name_is_not_asked_without_one() {
        let default = Rule {
            is_default: true,
            takes_provider: true,
            matches: Vec::new(),
        };
        let rules = [default];
        assert!(order(&rules, &Known::default(), None).is_empty());
        assert!(order(&rules, &Known::default(), Some("z")) == [who(0, Some("z"))]);
    }
}
