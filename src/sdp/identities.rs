//! Calls the API as one identity after another until one may read the resource, and remembers which one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use url::Url;

use super::exchange::Fetched;
use super::login::LoginEndpoint;
use super::memory::Memory;
use super::order::{Rule, Who, order};
use super::reader::{Reader, Unread};
use super::readers::Readers;
use super::transport::Transport;
use super::{Failure, Kind, Subject};
use crate::config::Identity;
use crate::net::ClientError;

/// The identities as which the API can be called.
pub(super) struct Identities {
    rules: Vec<Rule>,
    readers: Readers,
    memory: Memory,
}

/// The failures of the identities tried so far, none of which could read.
#[derive(Default)]
struct Tried {
    count: usize,
    /// The first refusal: that of the most likely identity.
    refused: Option<Failure>,
    /// The first identity that could not log in, or whose token was refused.
    without_token: Option<(Who, Arc<Reader>, Failure)>,
    /// Whether the API itself refused any identity, which shows that it can be reached.
    is_answered: bool,
}

impl Identities {
    /// The names of the identities whose logins fail, with the time since when.
    pub(super) fn refused(&self) -> BTreeMap<String, Instant> {
        self.readers.login_endpoint().refused()
    }

    pub(super) fn new(
        identities: Vec<Identity>,
        login_endpoint: LoginEndpoint,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            rules: identities.iter().map(Rule::of).collect(),
            readers: Readers::new(identities, login_endpoint)?,
            memory: Memory::new(),
        })
    }

    /// Tries the identities in order. After a refusal or a failed login the next one is tried; any other result is
    /// returned.
    pub(super) async fn get(
        &self,
        transport: &Transport,
        subject: &Subject<'_>,
        url: &Url,
        endpoint: &'static str,
    ) -> Result<Fetched, Failure> {
        let provider = subject.provider.filter(|name| !name.trim().is_empty());
        let order = order(&self.rules, &self.memory.of(subject), provider);
        let mut tried = Tried::default();
        for who in &order {
            tried.count += 1;
            let Some(reader) = self.readers.get(who) else {
                let why = "the provider's name cannot be sent in a header";
                tried.refused.get_or_insert(of_identity(why));
                continue;
            };
            match reader.get(transport, url, endpoint).await {
                Ok(fetched) => {
                    if !self.readers.is_alone() {
                        self.memory.read(subject, who);
                    }
                    return Ok(fetched);
                }
                Err(Unread::Refused(failure)) => {
                    tried.is_answered |= failure.is_of_the_api();
                    tried.refused.get_or_insert(failure);
                }
                Err(Unread::NoToken(failure)) => {
                    let this = || (who.clone(), Arc::clone(&reader), failure);
                    tried.without_token.get_or_insert_with(this);
                }
                Err(Unread::Answer(failure)) => return Err(failure),
            }
        }
        if let Some(last) = order.last().filter(|_| !self.readers.is_alone()) {
            self.memory.refused(subject, last.identity);
        }
        Err(self.nobody_reads(tried))
    }

    /// Logs in as each identity and returns the results by name; an identity that needs a provider's name is left out.
    pub(super) async fn check(&self) -> Vec<(String, Option<Result<(), Failure>>)> {
        let mut results = Vec::new();
        for (name, reader) in self.readers.fixed() {
            let result = match reader {
                Some(reader) => Some(reader.tokens.get().await.map(|_| ())),
                None => None,
            };
            results.push((name.to_owned(), result));
        }
        results
    }

    /// The failure to return when none of the identities tried could read.
    fn nobody_reads(&self, tried: Tried) -> Failure {
        let Tried {
            count,
            refused,
            without_token,
            is_answered,
        } = tried;
        let Some((who, reader, failure)) = without_token else {
            let Some(failure) = refused else {
                return of_identity(
                    "no identity was tried: each needs the provider's name, and this session's provider is not known",
                );
            };
            if self.readers.is_alone() {
                return failure;
            }
            return Failure {
                reason: format!("{failure} (identities asked: {count})"),
                ..failure
            };
        };
        let is_others_answered = is_answered || self.readers.is_another_answered(&reader);
        if self.readers.is_alone() || !is_others_answered {
            return failure;
        }
        // Other identities reach the API, so this is no outage, and it says nothing about the session.
        Failure {
            kind: Kind::Retry,
            status: None,
            reason: format!("identity {}: {failure}", self.readers.name(&who)),
            ..failure
        }
    }
}

fn of_identity(reason: &str) -> Failure {
    Failure::new(Kind::Identity, None, reason)
}
