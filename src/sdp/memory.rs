//! Remembers which identity read which session and encounter last. In memory and bounded: a forgotten entry is found
//! out again.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::Subject;
use super::order::{Known, Who};
use crate::domain::{EncounterId, SessionId};

/// The number of sessions, and of encounters, that are remembered.
const KEPT: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// The remembered identities.
pub(super) struct Memory(Mutex<State>);

struct State {
    sessions: LruCache<SessionId, OfSession>,
    encounters: LruCache<EncounterId, Who>,
}

#[derive(Clone, Default)]
struct OfSession {
    reader: Option<Who>,
    turn: Option<usize>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            sessions: LruCache::new(KEPT),
            encounters: LruCache::new(KEPT),
        }))
    }

    /// What is remembered for a session and its encounter.
    pub(super) fn of(&self, subject: &Subject<'_>) -> Known {
        let mut state = self.state();
        let session = state.sessions.get(subject.session).cloned();
        let OfSession { reader, turn } = session.unwrap_or_default();
        let encounter = subject.encounter;
        Known {
            session: reader,
            encounter: encounter.and_then(|id| state.encounters.get(id).cloned()),
            turn,
        }
    }

    /// Records that this identity has read the session.
    pub(super) fn read(&self, subject: &Subject<'_>, who: &Who) {
        let mut state = self.state();
        let session = OfSession {
            reader: Some(who.clone()),
            turn: None,
        };
        state.sessions.put(subject.session.clone(), session);
        if let Some(encounter) = subject.encounter {
            state.encounters.put(encounter.clone(), who.clone());
        }
    }

    /// Records that no identity could read all of this session, and which of the other identities was tried last.
    pub(super) fn refused(&self, subject: &Subject<'_>, turn: usize) {
        let mut state = self.state();
        let session = state
            .sessions
            .get_or_insert_mut(subject.session.clone(), OfSession::default);
        session.turn = Some(turn);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
