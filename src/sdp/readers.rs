//! All readers: one for each identity or, for an identity that needs a provider's name, one for each of the providers
//! used last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::login::{LogIn, LoginEndpoint};
use super::order::Who;
use super::reader::Reader;
use crate::config::Identity;
use crate::net::ClientError;

/// The number of providers whose readers are kept.
const KEPT: usize = 1_000;

/// All readers.
pub(super) struct Readers {
    login_endpoint: Arc<LoginEndpoint>,
    identities: Vec<Arc<Identity>>,
    /// By the identity's index; `None` for one that needs a provider's name.
    fixed: Vec<Option<Arc<Reader>>>,
    by_provider: Mutex<LruCache<Who, Arc<Reader>>>,
}

impl Readers {
    /// The login endpoint that all of them share.
    pub(super) fn login_endpoint(&self) -> &LoginEndpoint {
        &self.login_endpoint
    }

    pub(super) fn new(
        identities: Vec<Identity>,
        login_endpoint: LoginEndpoint,
    ) -> Result<Self, ClientError> {
        let mut readers = Self {
            login_endpoint: Arc::new(login_endpoint),
            identities: identities.into_iter().map(Arc::new).collect(),
            fixed: Vec::new(),
            by_provider: Mutex::new(LruCache::unbounded()),
        };
        for (at, identity) in readers.identities.iter().enumerate() {
            readers.login_endpoint.knows(&identity.name);
            let reader = if identity.auth.is_per_provider() {
                None
            } else {
                let key = || ClientError::Header(format!("{}.provider_id", identity.key()));
                let who = Who {
                    identity: at,
                    provider: None,
                };
                Some(Arc::new(readers.make(&who).ok_or_else(key)?))
            };
            readers.fixed.push(reader);
        }
        Ok(readers)
    }

    /// Whether there is only one reader.
    pub(super) fn is_alone(&self) -> bool {
        self.identities.len() == 1 && !self.identities[0].auth.is_per_provider()
    }

    /// The identity's name.
    pub(super) fn name(&self, who: &Who) -> &str {
        &self.identities[who.identity].name
    }

    /// The identities' names, each with its reader if it does not depend on a provider.
    pub(super) fn fixed(&self) -> impl Iterator<Item = (&str, Option<&Arc<Reader>>)> {
        let names = self
            .identities
            .iter()
            .map(|identity| identity.name.as_str());
        names.zip(self.fixed.iter().map(Option::as_ref))
    }

    /// The reader of this identity. `None` when the provider's id cannot be sent in a header.
    pub(super) fn get(&self, who: &Who) -> Option<Arc<Reader>> {
        if who.provider.is_none() {
            return self.fixed[who.identity].clone();
        }
        let mut kept = self.by_provider();
        if let Some(reader) = kept.get(who) {
            return Some(Arc::clone(reader));
        }
        let reader = Arc::new(self.make(who)?);
        kept.put(who.clone(), Arc::clone(&reader));
        forget_beyond(KEPT, &mut kept);
        Some(reader)
    }

    /// Whether the API has recently answered any other reader.
    pub(super) fn is_another_answered(&self, reader: &Arc<Reader>) -> bool {
        let is_another = |other: &Arc<Reader>| !Arc::ptr_eq(other, reader) && other.was_answered();
        self.fixed.iter().flatten().any(is_another)
            || self
                .by_provider()
                .iter()
                .any(|(_, other)| is_another(other))
    }

    fn make(&self, who: &Who) -> Option<Reader> {
        Reader::new(LogIn {
            login_endpoint: Arc::clone(&self.login_endpoint),
            identity: Arc::clone(&self.identities[who.identity]),
            provider: who.provider.clone(),
            is_alone: self.is_alone(),
        })
    }

    fn by_provider(&self) -> MutexGuard<'_, LruCache<Who, Arc<Reader>>> {
        self.by_provider
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the least recently used readers. A reader in use is kept: otherwise the next call would start a second login
/// next to the one under way.
fn forget_beyond(most: usize, kept: &mut LruCache<Who, Arc<Reader>>) {
    while kept.len() > most {
        let is_free = |(_, reader): &(&Who, &Arc<Reader>)| {
            Arc::strong_count(reader) == 1 && Arc::strong_count(&reader.tokens) == 1
        };
        let Some(oldest) = kept.iter().rev().find(is_free).map(|(who, _)| who.clone()) else {
            return;
        };
        kept.pop(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::config::{AuthMode, PartnerToken, ProviderCommand, Sdp, SdpAuth};
    use crate::metrics::Metrics;
    use crate::sdp::transport::Transport;

    #[test]
    fn those_not_used_for_longest_are_forgotten_and_none_that_is_in_use() {
        let command = ["echo", "{provider}"].map(str::to_owned).to_vec();
        let auth = SdpAuth {
            mode: AuthMode::Standard,
            partner_id: "p".to_owned(),
            partner_token: PartnerToken::Command(ProviderCommand::new(command).expect("a command")),
        };
        let url = Url::parse("http://sdp.invalid").expect("an address");
        let transport = Transport::new(&Sdp::default(), Metrics::new()).expect("a client");
        let login_endpoint = LoginEndpoint::new(transport.api, url, Metrics::new());
        let readers =
            Readers::new(vec![Identity::default_of(auth)], login_endpoint).expect("readers");
        let of = |provider: &str| {
            let provider = Some(Arc::from(provider));
            let who = Who {
                identity: 0,
                provider,
            };
            readers.get(&who).expect("a reader")
        };
        let in_use = of("first");
        for provider in ["second", "third", "fourth"] {
            of(provider);
        }
        of("second");
        forget_beyond(2, &mut readers.by_provider());
        let kept = readers.by_provider();
        let kept: Vec<_> = kept
            .iter()
            .filter_map(|(who, _)| who.provider.as_deref())
            .collect();
        assert_eq!(kept, ["second", "first"]);
        drop(in_use);
    }
}
