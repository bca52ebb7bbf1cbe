//! The sessions that the simulated API knows, by id and by encounter.
//!
//! The two kinds are apart, as the vendor's are: what the ambient endpoints know the form-filling ones do not.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use serde_json::Value;

use crate::domain::SessionKind;

/// One session as the simulated API knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Which of the two products it belongs to.
    pub kind: SessionKind,
    /// The encounter it is part of; the encounter's note is made of all of its sessions.
    pub encounter_id: Option<String>,
    /// The provider whose session it is: only tokens of this one read it. `None`: every token does.
    pub provider: Option<String>,
    /// Its state in the vendor's word (docs/VENDOR.md, "Session states"). Only a `completed` one has content.
    pub status: String,
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

    /// The same session as part of an encounter.
    #[must_use]
    pub fn in_encounter(self, encounter_id: impl Into<String>) -> Self {
        Self {
            encounter_id: Some(encounter_id.into()),
            ..self
        }
    }

    /// The same session as one of this provider.
    #[must_use]
    pub fn of_provider(self, provider: impl Into<String>) -> Self {
        Self {
            provider: Some(provider.into()),
            ..self
        }
    }

    /// The same session in another state.
    #[must_use]
    pub fn with_status(self, status: impl Into<String>) -> Self {
        Self {
            status: status.into(),
            ..self
        }
    }

    /// Whether its note, transcript and data are there.
    pub fn is_completed(&self) -> bool {
        self.status == "completed"
    }

    /// Reads `{"session_id":…, "kind":"ambient|form_filling"?, "encounter_id":…?, "provider":…?, "status":…?}`.
    ///
    /// # Errors
    /// A text for the caller where the id is missing or the kind is no kind.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let id = text("session_id").ok_or("session_id is missing or not a string")?;
        let kind = match SessionKind::from_word(text("kind").unwrap_or("ambient")) {
            SessionKind::Unknown => return Err("kind is ambient or form_filling".to_owned()),
            kind @ (SessionKind::Ambient | SessionKind::FormFilling) => kind,
        };
        Ok(Self {
            encounter_id: text("encounter_id").map(str::to_owned),
            provider: text("provider").map(str::to_owned),
            ..Self::completed(id, kind).with_status(text("status").unwrap_or("completed"))
        })
    }

    fn completed(id: impl Into<String>, kind: SessionKind) -> Self {
        Self {
            id: id.into(),
            kind,
            encounter_id: None,
            provider: None,
            status: "completed".to_owned(),
        }
    }
}

/// What is known, and whether an id that is not is made up on the spot.
pub(super) struct Sessions {
    every_id: bool,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<String, Session>,
    /// Session ids of each encounter, in the order in which they were added.
    by_encounter: HashMap<String, Vec<String>>,
}

impl Sessions {
    pub(super) fn new(every_id: bool) -> Self {
        Self {
            every_id,
            known: RwLock::default(),
        }
    }

    /// Adds a session, or replaces the one of the same id.
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

    /// The session of this id, if it is of this kind; `Unknown` takes either.
    pub(super) fn find(&self, kind: SessionKind, id: &str) -> Option<Session> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.by_id.get(id) {
            Some(session) => (kind == SessionKind::Unknown || kind == session.kind)
                .then_some(session)
                .cloned(),
            None => self.every_id.then(|| Session::completed(id, kind)),
        }
    }

    /// The sessions of an encounter, oldest first; none where the encounter is not known.
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
