//! Chooses the configuration file, and parses its text into a tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::problem::Problem;
use super::tree::{Table, table_of_toml};
use super::{Env, Source};

/// The variable that names the file if no flag does.
pub(in crate::config) const FILE_VARIABLE: &str = "SUKI_RECEIVER_CONFIG";

/// The paths at which a file is looked for if neither a flag nor the variable names one.
pub(in crate::config) const USUAL_PLACES: [&str; 2] =
    ["config/receiver.toml", "/etc/suki-receiver/receiver.toml"];

/// The file to read: the flag's, the variable's, or the first one that exists at the usual places.
pub(in crate::config) fn choose(
    flag: Option<&Path>,
    env: &Env,
    usual_places: &[impl AsRef<Path>],
) -> Result<Option<PathBuf>, Problem> {
    if let Some(path) = flag {
        return Ok(Some(path.to_owned()));
    }
    let named = env.get(FILE_VARIABLE).map_err(|message| Problem {
        key: "configuration file".to_owned(),
        source: Some(Source::Env(FILE_VARIABLE.to_owned())),
        message,
    })?;
    if let Some(path) = named.filter(|path| !path.is_empty()) {
        return Ok(Some(PathBuf::from(path)));
    }
    // A file that exists and cannot be accessed is chosen as well, so that reading it fails; it must not be skipped
    // silently.
    let found = usual_places
        .iter()
        .map(AsRef::as_ref)
        .find(|path| path.try_exists().unwrap_or(true));
    Ok(found.map(Path::to_owned))
}

/// Reads and parses the file.
pub(in crate::config) fn read(path: &Path) -> Result<Table, Vec<Problem>> {
    let text = fs::read_to_string(path).map_err(|error| {
        vec![Problem {
            key: "configuration file".to_owned(),
            source: None,
            message: format!("cannot read {}: {error}", path.display()),
        }]
    })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Table, Vec<Problem>> {
    let path: Arc<Path> = Arc::from(path);
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let source_at = |offset| Source::File {
            path: Arc::clone(&path),
            line: lines.position(offset).0,
        };
        return Ok(table_of_toml(table.into_inner(), &source_at));
    }
    let mut problems: Vec<Problem> = errors
        .iter()
        .map(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let (line, column) = lines.position(offset);
            // Only the error's message: the whole error quotes the line, which may contain a secret.
            Problem {
                key: "TOML syntax".to_owned(),
                source: Some(Source::File {
                    path: Arc::clone(&path),
                    line,
                }),
                message: format!("column {column}: {}", error.message()),
            }
        })
        .collect();
    problems.sort_by(|a, b| a.source.cmp(&b.source));
    Err(problems)
}

/// The offsets at which the lines of a text start.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(offset, _)| offset + 1);
        let starts = std::iter::once(0).chain(after_newlines).collect();
        Self { text, starts }
    }

    /// Line and column of a byte offset, both counted from 1, the column in characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let before = self.text.get(start..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}
