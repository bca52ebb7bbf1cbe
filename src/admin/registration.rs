//! Parses registrations of sessions from the body of a request. An error names the field and what is allowed, and
//! quotes nothing of a context.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::config::Reconcile;
use crate::domain::{Context, EncounterId, Origin, Registration, SessionId, SessionKind, json};
use crate::journal::{Change, NewExpected};

/// The largest body.
pub(super) const MAX_BODY_BYTES: usize = 4 << 20;
/// The limit of sessions in one list.
const MOST: usize = 1000;
/// The largest context, in bytes.
const CONTEXT_BYTES: usize = 16 * 1024;
/// The longest name of a provider, in bytes.
const PROVIDER_BYTES: usize = 255;
const FIELDS: &str =
    "session_id, encounter_id, kind, provider, started_at, ended_at, deadline, context";

/// A parsed body.
pub enum Registrations {
    /// One object.
    One(Result<Session, String>),
    /// A list, or one object on each line.
    Many(Vec<Result<Session, String>>),
}

/// The registration of one session.
pub struct Session {
    id: Option<SessionId>,
    encounter_id: Option<EncounterId>,
    kind: SessionKind,
    provider: Option<String>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    deadline: Option<Timestamp>,
    context: Option<Context>,
}

/// Reads a body.
///
/// # Errors
/// When the body as a whole cannot be parsed. The error of one of many sessions is at its place in the result.
pub fn read(body: &[u8], is_lines: bool) -> Result<Registrations, String> {
    let body = json::without_bom(body);
    if is_lines {
        let lines = body
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty());
        return Ok(Registrations::Many(
            lines.map(|line| object(line).and_then(session)).collect(),
        ));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|_| "the body is not JSON; send one object, a list of them, or one a line as application/x-ndjson".to_owned())?;
    match value {
        Value::Object(fields) => Ok(Registrations::One(session(fields))),
        Value::Array(list) if list.len() > MOST => Err(format!(
            "the list has {} sessions; send at most {MOST} at once",
            list.len()
        )),
        Value::Array(list) => {
            let read = list.into_iter().map(|one| match one {
                Value::Object(fields) => session(fields),
                _ => Err("it is not a JSON object".to_owned()),
            });
            Ok(Registrations::Many(read.collect()))
        }
        _ => Err("the body is neither an object nor a list of them".to_owned()),
    }
}

/// Reads changes to a session.
///
/// # Errors
/// Names the field that is wrong.
pub(super) fn change(body: &[u8]) -> Result<Change, String> {
    const FIELDS: &str = "ended_at, provider, deadline";
    let mut fields = object(body)?;
    let change = Change {
        ended_at: time(&mut fields, "ended_at")?,
        provider: provider(&mut fields)?,
        deadline: time(&mut fields, "deadline")?,
    };
    nothing_else(&fields, FIELDS)?;
    if change == Change::default() {
        return Err(format!(
            "the body changes nothing; give at least one of {FIELDS}"
        ));
    }
    Ok(change)
}

impl Session {
    /// The registration as it is to be kept, with a newly made id if none was given.
    ///
    /// # Errors
    /// When no id was given and none may be made.
    pub fn expected(
        self,
        reconcile: &Reconcile,
        registered_at: Timestamp,
    ) -> Result<NewExpected, String> {
        let (id, origin) = match self.id {
            Some(id) => (id, Origin::Registered),
            None if reconcile.mint => (
                mint().ok_or_else(|| "no id could be made".to_owned())?,
                Origin::Minted,
            ),
            None => {
                return Err(
                    "session_id: is missing, and reconcile.mint is false, so none is made here"
                        .to_owned(),
                );
            }
        };
        let registration = Registration {
            session_id: id,
            encounter_id: self.encounter_id,
            kind: self.kind,
            provider: self.provider,
            started_at: self.started_at,
            ended_at: self.ended_at,
            deadline: self.deadline,
            origin,
            context: self.context,
        };
        Ok(NewExpected::of(
            registration,
            &reconcile.schedule,
            registered_at,
        ))
    }
}

/// Makes a new, unused id in the form that the vendor accepts.
fn mint() -> Option<SessionId> {
    SessionId::new(
        uuid::Builder::from_random_bytes(rand::random())
            .into_uuid()
            .to_string(),
    )
}

fn object(text: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("it is not a JSON object".to_owned()),
        Err(_) => Err("it is not JSON".to_owned()),
    }
}

/// Reads the registration of one session.
///
/// # Errors
/// Names the field that is wrong.
pub fn session(mut fields: Map<String, Value>) -> Result<Session, String> {
    let fields = &mut fields;
    let session = Session {
        id: text(fields, "session_id")?
            .map(|id| {
                let most = SessionId::MAX_BYTES;
                SessionId::new(id).ok_or_else(|| {
                    format!("session_id: use a text of 1 to {most} bytes, or leave it out")
                })
            })
            .transpose()?,
        encounter_id: text(fields, "encounter_id")?
            .map(|id| {
                EncounterId::new(id)
                    .filter(|id| id.as_str().len() <= SessionId::MAX_BYTES)
                    .ok_or_else(|| "encounter_id: use a text of 1 to 512 bytes".to_owned())
            })
            .transpose()?,
        kind: match text(fields, "kind")?.as_deref() {
            None => SessionKind::Unknown,
            Some("ambient") => SessionKind::Ambient,
            Some("form_filling") => SessionKind::FormFilling,
            Some(_) => {
                return Err("kind: unknown; expected one of ambient, form_filling".to_owned());
            }
        },
        provider: provider(fields)?,
        started_at: time(fields, "started_at")?,
        ended_at: time(fields, "ended_at")?,
        deadline: time(fields, "deadline")?,
        context: context(fields)?,
    };
    nothing_else(fields, FIELDS)?;
    Ok(session)
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name}: use a text")),
    }
}

fn time(fields: &mut Map<String, Value>, name: &str) -> Result<Option<Timestamp>, String> {
    let text = text(fields, name)?;
    text.map(|text| {
        text.parse().map_err(|_| {
            format!("{name}: use a time of RFC 3339 with its offset, such as 2026-11-25T12:00:00Z")
        })
    })
    .transpose()
}

fn provider(fields: &mut Map<String, Value>) -> Result<Option<String>, String> {
    match text(fields, "provider")? {
        Some(provider) if provider.trim().is_empty() || provider.len() > PROVIDER_BYTES => Err(
            format!("provider: use a text of 1 to {PROVIDER_BYTES} bytes"),
        ),
        provider => Ok(provider),
    }
}

fn context(fields: &mut Map<String, Value>) -> Result<Option<Context>, String> {
    match fields.remove("context") {
        None | Some(Value::Null) => Ok(None),
        Some(context @ Value::Object(_)) => {
            let context = context.to_string();
            if context.len() > CONTEXT_BYTES {
                return Err(format!("context: is larger than {CONTEXT_BYTES} bytes"));
            }
            Ok(Some(Context(Bytes::from(context))))
        }
        Some(_) => Err("context: use an object".to_owned()),
    }
}

fn nothing_else(fields: &Map<String, Value>, allowed: &str) -> Result<(), String> {
    match fields.keys().next() {
        Some(name) => Err(crate::journal::filter::unknown(name, allowed)),
        None => Ok(()),
    }
}

/// The registration of a session of which only this change is known.
pub(super) fn of_change(id: SessionId, change: Change) -> Registration {
    Registration {
        ended_at: change.ended_at,
        provider: change.provider,
        deadline: change.deadline,
        ..Registration::of(id, Origin::Registered)
    }
}
