//! Tests of the whole loader: from files, variables and flags to a configuration or to a list of problems.

mod identities;
mod net;
mod problems;
mod reference;
mod rules;
mod secrets;
mod sources;
mod spellings;

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::load::load;
use super::{Env, LoadOptions, Loaded, Problems};

/// The smallest configuration that starts.
const SECRET: (&str, &str) = ("SUKI_RECEIVER__SIGNATURE__SECRET", "hunter2");

/// A folder with a configuration file and the files that it names, and an environment.
struct Setup {
    folder: TempDir,
    options: LoadOptions,
}

impl Setup {
    /// With that file and no variables.
    fn toml(text: &str) -> Self {
        let setup = Self::nothing();
        let file = setup.file("receiver.toml", text);
        Self {
            options: LoadOptions {
                file: Some(file),
                ..LoadOptions::default()
            },
            ..setup
        }
    }

    /// With neither file nor variables.
    fn nothing() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            options: LoadOptions::default(),
        }
    }

    fn env<'v>(mut self, variables: impl IntoIterator<Item = (&'v str, &'v str)>) -> Self {
        self.options.env = Env::from_iter(variables);
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        let flag = (key.to_owned(), value.to_owned());
        self.options.overrides.push(flag);
        self
    }

    /// Writes a file into the folder.
    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("a writable folder");
        path
    }

    fn load(&self) -> Result<Loaded, Problems> {
        load(&self.options, &[] as &[PathBuf])
    }

    /// The loaded configuration, if nothing is wrong.
    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// All problems, without the folder's changing name.
    fn problems(&self) -> String {
        let problems = self.load().expect_err("something is wrong");
        let folder = format!("{}/", self.folder.path().display());
        problems.to_string().replace(&folder, "")
    }
}

/// The problems of a file, with the signing secret that every configuration needs added.
fn problems_of(toml: &str) -> String {
    Setup::toml(toml).env([SECRET]).problems()
}

/// The configuration that a file loads as, with the signing secret that every configuration needs added.
fn loaded_of(toml: &str) -> Loaded {
    Setup::toml(toml).env([SECRET]).loaded()
}
