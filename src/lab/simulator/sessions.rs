//! The sessions that the simulated API knows, by id and by encounter.
//!
//! The two kinds of session are separate, as they are at the vendor: the form-filling endpoints do not know ambient
//! sessions.

use std::collections::{HashMap, VecDeque};
use std::sync::{PoisonError, RwLock};

use serde_json::Value;

use crate::domain::SessionKind;

/// A session of the simulated API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The id.
    pub id: String,
    /// The product to which the session belongs.
    pub kind: SessionKind,
    /// The encounter of the session; an encounter's note is made of all its sessions.
    pub encounter_id: Option<String>,
    /// The provider of the session: only this provider's tokens can read it. `None`: every token can.
    pub provider: Option<String>,
    /// The state in the vendor's words (docs/VENDOR.md, "Session states"). Only a `completed` session has content.
    pub status: String,
    /// Earlier states: each request for the status is answered with the next of them, until none is left.
    pub before: VecDeque<String>,
    /// The number of the session's note, from 1: a session that is resumed makes another note.
    pub note: u32,
}

impl Session {
    /// A completed ambient session.
    pub fn ambient(id: impl Into<String>) -> Self {
        Self::completed(id, SessionKind::Ambient)
    }

    /// A completed form-filling session.
    pub fn form_filling(id: impl Into<String>) -> Self {
        Self::completed(id, SessionKind::FormFilling)
    }

    /// Makes the session part of an encounter.
    #[must_use]
    pub fn in_encounter(self, encounter_id: impl Into<String>) -> Self {
        Self {
            encounter_id: Some(encounter_id.into()),
            ..self
        }
    }

    /// Makes the session one of this provider.
    #[must_use]
    pub fn of_provider(self, provider: impl Into<String>) -> Self {
        Self {
            provider: Some(provider.into()),
            ..self
        }
    }

    /// Sets the session's state.
    #[must_use]
    pub fn with_status(self, status: impl Into<String>) -> Self {
        Self {
            status: status.into(),
            ..self
        }
    }

    /// Sets earlier states, each for one request for the status.
    #[must_use]
    pub fn after_states<'a>(self, before: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            before: before.into_iter().map(str::to_owned).collect(),
            ..self
        }
    }

    /// Makes the session one that was resumed, with the note of this number.
    #[must_use]
    pub fn with_note(self, note: u32) -> Self {
        Self { note, ..self }
    }

    /// Whether the session's note, transcript and data exist.
    pub fn is_completed(&self) -> bool {
        self.status == "completed" && self.before.is_empty()
    }

    /// Reads `{"session_id":…, "kind":"ambient|form_filling"?, "encounter_id":…?, "provider":…?, "status":…?, "note":…?}`;
    /// the status is a word or a list of them.
    ///
    /// # Errors
    /// A message for the caller if the id is missing or a value is invalid.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let id = text("session_id").ok_or("session_id is missing or not a string")?;
        let kind = match SessionKind::from_word(text("kind").unwrap_or("ambient")) {
            SessionKind::Unknown => return Err("kind is ambient or form_filling".to_owned()),
            kind @ (SessionKind::Ambient | SessionKind::FormFilling) => kind,
        };
        let mut states = states(value.get("status"))?;
        let status = states.pop_back().ok_or("status is an empty list")?;
        let note = match value.get("note") {
            None => 1,
            Some(note) => note
                .as_u64()
                .and_then(|note| u32::try_from(note).ok())
                .ok_or("note is a number")?,
        };
        Ok(Self {
            encounter_id: text("encounter_id").map(str::to_owned),
            provider: text("provider").map(str::to_owned),
            before: states,
            ..Self::completed(id, kind)
                .with_status(status)
                .with_note(note)
        })
    }

    fn completed(id: impl Into<String>, kind: SessionKind) -> Self {
        Self {
            id: id.into(),
            kind,
            encounter_id: None,
            provider: None,
            status: "completed".to_owned(),
            before: VecDeque::new(),
            note: 1,
        }
    }
}

/// The states of a session, of which the last one stays.
fn states(status: Option<&Value>) -> Result<VecDeque<String>, String> {
    let word = |word: &Value| word.as_str().map(str::to_owned);
    let states = match status {
        None => Some(VecDeque::from(["completed".to_owned()])),
        Some(Value::Array(words)) => words.iter().map(word).collect(),
        Some(one) => word(one).map(|word| VecDeque::from([word])),
    };
    states.ok_or_else(|| "status is a word, or a list of words".to_owned())
}

/// The known sessions, and whether unknown ones are made up when they are requested.
pub(super) struct Sessions {
    every_id: bool,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<String, Session>,
    /// The session ids of each encounter, in the order in which they were added.
    by_encounter: HashMap<String, Vec<String>>,
}

impl Sessions {
    pub(super) fn new(every_id: bool) -> Self {
        Self {
            every_id,
            known: RwLock::default(),
        }
    }

    /// Adds a session, or replaces the one with the same id.
    pub(super) fn add(&self, session: Session) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(encounter) = &session.encounter_id {
            let ids = known.by_encounter.entry(encounter.clone()).or_default();
            if !ids.contains(&session.id) {
                ids.push(session.id.clone());
            }
        }
        known.by_id.insert(session.id.clone(), session);
    }

    /// The session with this id, if it is of this kind; `Unknown` matches both kinds.
    pub(super) fn find(&self, kind: SessionKind, id: &str) -> Option<Session> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.by_id.get(id) {
            Some(session) => (kind == SessionKind::Unknown || kind == session.kind)
                .then_some(session)
                .cloned(),
            None => self.every_id.then(|| Session::completed(id, kind)),
        }
    }

    /// The state of a session of this kind for one request: its earlier states in order, then the one that stays.
    pub(super) fn ask(&self, kind: SessionKind, id: &str) -> Option<String> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = known
            .by_id
            .get_mut(id)
            .filter(|session| session.kind == kind)
            && let Some(state) = session.before.pop_front()
        {
            return Some(state);
        }
        drop(known);
        self.find(kind, id).map(|session| session.status)
    }

    /// The sessions of an encounter, oldest first; none if the encounter is not known.
    pub(super) fn of_encounter(&self, encounter_id: &str) -> Vec<Session> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.by_encounter.get(encounter_id) {
            Some(ids) => ids
                .iter()
                .filter_map(|id| known.by_id.get(id))
                .filter(|session| session.encounter_id.as_deref() == Some(encounter_id))
                .cloned()
                .collect(),
            None if self.every_id => {
                vec![Session::ambient(encounter_id).in_encounter(encounter_id)]
            }
            None => Vec::new(),
        }
    }
}
