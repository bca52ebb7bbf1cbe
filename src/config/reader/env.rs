//! The process environment behind a type, so that tests can pass a map. No other code reads the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use super::Source;
use super::file::FILE_VARIABLE;
use super::problem::{Problem, UNKNOWN_KEY};
use super::tree::{self, Table};

/// The environment variables. `Debug` shows only their names.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, OsString>);

/// The prefix of every variable that sets a key; `__` also separates the parts of the key.
const PREFIX: &str = "SUKI_RECEIVER__";

impl Env {
    /// The environment of this process.
    pub fn process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    /// The value of a variable, or `None` if it is not set.
    pub(in crate::config) fn get(&self, name: &str) -> Result<Option<&str>, String> {
        self.0
            .get(name)
            .map(|value| {
                value
                    .to_str()
                    .ok_or_else(|| format!("the variable {name} is not valid Unicode"))
            })
            .transpose()
    }

    /// Whether the user wants output without colour (<https://no-color.org>).
    pub fn wants_no_color(&self) -> bool {
        self.0
            .get("NO_COLOR")
            .is_some_and(|value| !value.is_empty())
    }

    /// A warning for each variable that looks as if it should set a key and does not: with one underscore instead of
    /// two, in lower case, or misspelt. `known` are the dotted keys.
    pub(in crate::config) fn misspelt<'k>(
        &self,
        known: impl Iterator<Item = &'k str>,
    ) -> Vec<String> {
        let known = names(known);
        self.0
            .keys()
            .filter(|name| !name.starts_with(PREFIX) && *name != FILE_VARIABLE)
            .filter(|name| is_meant_for_service(name) && !is_from_orchestrator(name))
            .map(|name| {
                let hint = nearest(name, &known).map_or_else(
                    || format!("a key is set by {PREFIX}SECTION__KEY"),
                    |nearest| format!("did you mean {nearest}?"),
                );
                format!("the environment variable {name} sets nothing; {hint}")
            })
            .collect()
    }

    /// Sets the variables' keys in `root`, in the order of the variables' names, so that a table comes before its
    /// parts.
    pub(in crate::config) fn apply(&self, root: &mut Table) -> Vec<Problem> {
        self.0
            .keys()
            .filter_map(|name| {
                let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
                let path: Vec<&str> = key.split("__").collect();
                let source = Source::Env(name.clone());
                let result = self
                    .get(name)
                    .and_then(|text| tree::set(root, &path, text.unwrap_or_default(), &source));
                result.err().map(|message| Problem {
                    key: path.join("."),
                    source: Some(source),
                    message,
                })
            })
            .collect()
    }
}

/// A better message for a variable that sets an unknown key: the full name of the variable that was probably meant,
/// instead of a list of keys. `None` if the problem is another one, or no variable's name is similar.
pub(in crate::config) fn better_message<'k>(
    name: &str,
    problem: &Problem,
    known: impl Iterator<Item = &'k str>,
) -> Option<String> {
    if problem.key == "sinks" && name.strip_prefix(PREFIX) != Some("SINKS") {
        return Some(format!(
            "names no key of a sink; a sink's key is set by {PREFIX}SINKS__NAME__KEY"
        ));
    }
    if !problem.message.starts_with(UNKNOWN_KEY) {
        return None;
    }
    let known = names(known);
    let nearest = nearest(name, &known)?;
    Some(format!("unknown key; did you mean {nearest}?"))
}

/// The variables of all keys that can be set by a variable.
fn names<'k>(keys: impl Iterator<Item = &'k str>) -> Vec<String> {
    keys.map(|key| format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase()))
        .chain(["SECRET", "SECRET_FILE"].map(|key| format!("{PREFIX}SIGNATURE__{key}")))
        .chain(["TOKEN", "TOKEN_FILE"].map(|key| format!("{PREFIX}ADMIN__{key}")))
        .chain([FILE_VARIABLE.to_owned()])
        .collect()
}

fn nearest<'n>(name: &str, known: &'n [String]) -> Option<&'n String> {
    known
        .iter()
        .max_by(|a, b| likeness(name, a).total_cmp(&likeness(name, b)))
        .filter(|nearest| likeness(name, nearest) >= ALIKE)
}

/// Below this similarity a suggestion is more likely to confuse than to help.
const ALIKE: f64 = 0.7;

/// The similarity of two names, without regard to letter case and to repeated underscores.
fn likeness(a: &str, b: &str) -> f64 {
    let plain = |name: &str| name.to_ascii_uppercase().replace("__", "_");
    strsim::normalized_damerau_levenshtein(&plain(a), &plain(b))
}

/// Whether the variable's name starts with the name of the service, or nearly so.
fn is_meant_for_service(name: &str) -> bool {
    const OURS: &str = "SUKI_RECEIVER_";
    let start: String = name.chars().take(OURS.len()).collect();
    likeness(&start, OURS) >= 0.85
}

/// Whether the variable is one that Kubernetes and Docker links set in other containers for a service of this name.
fn is_from_orchestrator(name: &str) -> bool {
    let rest = name.strip_prefix("SUKI_RECEIVER_").unwrap_or_default();
    rest == "PORT" || rest == "NAME" || rest.starts_with("SERVICE_") || rest.starts_with("PORT_")
}

impl<K: Into<String>, V: Into<OsString>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let variables = variables.into_iter();
        Self(
            variables
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
