//! Loads and checks a configuration from its sources: defaults, then the file, then the environment, then flags.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Config;
use super::reader::env;
use super::reader::file::{self, USUAL_PLACES};
use super::reader::problem::{Fault, Problem, Problems};
use super::reader::section::Reader;
use super::reader::tree::{self, Table};
use super::reader::{Effective, Env, Source};
use super::sections::otel_env;

/// The sources of a configuration.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// The file that a flag names. If `None`, the variable or one of the usual places decides.
    pub file: Option<PathBuf>,
    /// For a command that needs only the store: problems elsewhere, including missing secrets, are ignored.
    pub only_store: bool,
    /// The environment.
    pub env: Env,
    /// Dotted keys, such as `server.listen`, and values given by flags. If a key occurs twice, the later value wins.
    pub overrides: Vec<(String, String)>,
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Warnings about settings that are valid but risky, one line each, for the log.
    pub warnings: Vec<String>,
    /// Every key with its value and source, secrets masked.
    pub effective: Effective,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// The origin of the configuration, for messages about its consequences.
    pub fn place(&self) -> String {
        match &self.file {
            Some(file) => format!("by the configuration {}", file.display()),
            None => format!(
                "without a configuration file (looked for --config, {}, {})",
                file::FILE_VARIABLE,
                USUAL_PLACES.join(", ")
            ),
        }
    }

    /// Adds to faults that were found when values were used where each key was set.
    pub fn located(&self, faults: Vec<Fault>) -> Problems {
        let located = |Fault { key, message }| Problem {
            source: self
                .effective
                .source_of(&key)
                .cloned()
                .or(Some(Source::Default)),
            key,
            message,
        };
        Problems(faults.into_iter().map(located).collect())
    }
}

impl Config {
    /// Reads, merges and checks all sources. Blocks: it reads files and runs the commands that print secrets.
    pub fn load(options: &LoadOptions) -> Result<Loaded, Problems> {
        load(options, &USUAL_PLACES)
    }
}

pub(super) fn load(
    options: &LoadOptions,
    usual_places: &[impl AsRef<Path>],
) -> Result<Loaded, Problems> {
    let LoadOptions {
        file,
        only_store,
        env,
        overrides,
    } = options;
    let file = file::choose(file.as_deref(), env, usual_places)
        .map_err(|problem| Problems(vec![problem]))?;
    let mut tree = match &file {
        Some(path) => file::read(path).map_err(Problems)?,
        None => Table::new(),
    };
    let mut problems = otel_env::apply(env, &mut tree);
    problems.extend(env.apply(&mut tree));
    problems.extend(apply_flags(&mut tree, overrides));

    let mut reader = Reader::new(env.clone(), problems);
    reader.only_store = *only_store;
    let config = reader.read(tree, Config::read);
    if *only_store {
        reader.problems.retain(|problem| {
            problem.key.split('.').next() == Some("store")
                || matches!(problem.source, Some(Source::Flag(_)))
        });
        reader.warnings.clear();
    }
    let names = || reader.effective.entries().map(|entry| entry.path.as_str());
    for problem in &mut reader.problems {
        if let Some(Source::Env(name)) = &problem.source
            && let Some(better) = env::better_message(name, problem, names())
        {
            problem.message = better;
        }
    }
    let misspelt = env.misspelt(names());
    reader.warnings.extend(misspelt);
    if reader.has_literal_in_file {
        reader
            .warnings
            .extend(file.as_deref().and_then(readable_by_others));
    }
    if reader.problems.is_empty() {
        Ok(Loaded {
            config,
            warnings: reader.warnings,
            effective: reader.effective,
            file,
        })
    } else {
        Err(Problems(reader.problems))
    }
}

fn apply_flags(tree: &mut Table, overrides: &[(String, String)]) -> Vec<Problem> {
    overrides
        .iter()
        .filter_map(|(key, value)| {
            let path: Vec<&str> = key.split('.').collect();
            let source = Source::Flag(key.clone());
            let message = tree::set(tree, &path, value, &source).err()?;
            Some(Problem {
                key: key.clone(),
                source: Some(source),
                message,
            })
        })
        .collect()
}

fn readable_by_others(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o044 != 0).then(|| {
        format!(
            "{} holds a secret as such and is readable by more than its owner; use {{ file = \"…\" }} or set mode 0600",
            path.display()
        )
    })
}
