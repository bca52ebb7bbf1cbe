//! The process environment behind a type, so that tests pass a map. Nothing else reads it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use super::Source;
use super::problem::Problem;
use super::tree::{self, Table};

/// The variables that are looked at. `Debug` shows their names only.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, OsString>);

/// What every variable that sets a key starts with; `__` stands between the parts of the key as well.
const PREFIX: &str = "SUKI_RECEIVER__";

impl Env {
    /// The environment of this process.
    pub fn process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect()
    }

    /// The value of a variable, `None` where it is not set.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, String> {
        self.0
            .get(name)
            .map(|value| {
                value
                    .to_str()
                    .ok_or_else(|| format!("the variable {name} is not valid Unicode"))
            })
            .transpose()
    }

    /// Sets in `root` what the variables set. In order of their names, so that a table comes before its parts.
    pub(super) fn apply(&self, root: &mut Table) -> Vec<Problem> {
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
