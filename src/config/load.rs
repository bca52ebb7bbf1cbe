//! From sources to a checked configuration: defaults, then the file, then the environment, then flags.

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

/// What a configuration is loaded from.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// The file named by a flag; the variable's or one of the usual places when not set.
    pub file: Option<PathBuf>,
    /// For a command that needs the store and nothing else: what is wrong elsewhere, a missing secret included, is none
    /// of its business.
    pub only_store: bool,
    /// The environment.
    pub env: Env,
    /// Dotted keys and values given by flags, such as `server.listen`. The later of two for one key wins.
    pub overrides: Vec<(String, String)>,
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is set.
    pub config: Config,
    /// What is legal but risky, each in one line for the log.
    pub warnings: Vec<String>,
    /// Every key with its value and source, secrets masked.
    pub effective: Effective,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// Which file it is from, for messages about what it led to.
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

    /// What was found to be wrong of keys when their values were used, with where each was set.
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
    /// Reads, merges and checks everything. Blocks: it reads files and runs the commands that secrets come from.
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
