//! Asks by one identity after the other until one reads, and remembers which.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use url::Url;

use super::exchange::Fetched;
use super::login::Entrance;
use super::memory::Memory;
use super::order::{Rule, Who, order};
use super::reader::{Reader, Unread};
use super::readers::Readers;
use super::transport::Transport;
use super::{Failure, Kind, Subject};
use crate::config::Identity;
use crate::net::ClientError;

/// The identities by which the API is asked.
pub(super) struct Identities {
    rules: Vec<Rule>,
    readers: Readers,
    memory: Memory,
}

/// What came of those that were asked, while none has read.
#[derive(Default)]
struct Asked {
    count: usize,
    /// The first that was refused: the likeliest one's.
    refused: Option<Failure>,
    /// The first that was not let in.
    not_let_in: Option<(Who, Arc<Reader>, Failure)>,
    /// Whether the API refused any itself, so that it can be reached.
    is_answered: bool,
}

impl Identities {
    /// Which identities are not let in, by their names, and since when.
    pub(super) fn refused(&self) -> BTreeMap<String, Instant> {
        self.readers.entrance().refused()
    }

    pub(super) fn new(identities: Vec<Identity>, entrance: Entrance) -> Result<Self, ClientError> {
        Ok(Self {
            rules: identities.iter().map(Rule::of).collect(),
            readers: Readers::new(identities, entrance)?,
            memory: Memory::new(),
        })
    }

    /// Asks until one reads. One that is refused or not let in leads to the next; anything else is the answer.
    pub(super) async fn get(
        &self,
        transport: &Transport,
        subject: &Subject<'_>,
        url: &Url,
        endpoint: &'static str,
    ) -> Result<Fetched, Failure> {
        let provider = subject.provider.filter(|name| !name.trim().is_empty());
        let order = order(&self.rules, &self.memory.of(subject), provider);
        let mut asked = Asked::default();
        for who in &order {
            asked.count += 1;
            let Some(reader) = self.readers.get(who) else {
                let why = "the provider's name cannot be sent in a header";
                asked.refused.get_or_insert(of_identity(why));
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
                    asked.is_answered |= failure.is_of_the_api();
                    asked.refused.get_or_insert(failure);
                }
                Err(Unread::NotLetIn(failure)) => {
                    let this = || (who.clone(), Arc::clone(&reader), failure);
                    asked.not_let_in.get_or_insert_with(this);
                }
                Err(Unread::Answer(failure)) => return Err(failure),
            }
        }
        if let Some(last) = order.last().filter(|_| !self.readers.is_alone()) {
            self.memory.refused(subject, last.identity);
        }
        Err(self.nobody_reads(asked))
    }

    /// Logs in as each, by their names; one that takes a provider's name is left out.
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

    /// What it means that all that were asked did not read.
    fn nobody_reads(&self, asked: Asked) -> Failure {
        let Asked {
            count,
            refused,
            not_let_in,
            is_answered,
        } = asked;
        let Some((who, reader, failure)) = not_let_in else {
            let Some(failure) = refused else {
                return of_identity(
                    "no identity was asked: each takes the provider's name, and of this session none is known",
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
        // The API is there for others, so this is no outage of it, and it says nothing of the session.
        Failure {
            kind: Kind::Retry,
            status: None,
            reason: format!("identity {}: {failure}", self.readers.name(&who)),
            ..failure
        }
    }
}

fn of_identity(reason: &str) -> Failure {
    Failure {
        kind: Kind::Identity,
        status: None,
        after: None,
        reason: reason.to_owned(),
    }
}
