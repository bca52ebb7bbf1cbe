//! The configurations that the manifests bring along are ones that the service starts with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{EXE, files_below};

fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

/// What the manifests mount, in a folder of the test's own.
struct Mounts(tempfile::TempDir);

impl Mounts {
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["data", "secrets/suki-receiver", "secrets/suki-receiver-tls"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for folder in ["secrets", "secrets/suki-receiver"] {
            for name in [
                "suki-hmac",
                "database",
                "admin-token",
                "partner-token",
                "ehr",
            ] {
                let file = dir.path().join(folder).join(name);
                std::fs::write(file, "one-that-is-long-enough").unwrap();
            }
        }
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let tls = dir.path().join("secrets/suki-receiver-tls");
        std::fs::write(tls.join("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(tls.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        Self(dir)
    }

    /// A text with the paths of the containers as those here.
    fn here(&self, text: &str) -> String {
        let at = self.0.path().display();
        text.replace("/run/secrets/", &format!("{at}/secrets/"))
            .replace("/etc/suki-receiver/credentials/", &format!("{at}/secrets/"))
            .replace("/var/lib/suki-receiver/data/", &format!("{at}/data/"))
            .replace("\"/data/", &format!("\"{at}/data/"))
            .replace("sqlite:/data/", &format!("sqlite:{at}/data/"))
    }

    fn check(&self, toml: &str, variables: &[(String, String)]) -> Output {
        let file = self.0.path().join("receiver.toml");
        std::fs::write(&file, self.here(toml)).unwrap();
        Command::new(EXE)
            .args(["check", "--config"])
            .arg(file)
            .current_dir(self.0.path())
            .env_clear()
            .envs(
                variables
                    .iter()
                    .map(|(name, value)| (name, self.here(value))),
            )
            .output()
            .unwrap()
    }
}

/// The configurations, by their paths within the folder.
fn configurations() -> Vec<(String, String)> {
    let all = ["kubernetes", "compose", "debian"]
        .iter()
        .flat_map(|folder| files_below(&config().join(folder)));
    let found: Vec<_> = all
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            let name = path.strip_prefix(config()).unwrap().display().to_string();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(found.len() >= 4, "{found:?}");
    found
}

/// The variables that a component of the Kubernetes manifests sets.
fn variables(component: &str) -> Vec<(String, String)> {
    let path = format!("kubernetes/components/{component}/stateful-set.yaml");
    let text = std::fs::read_to_string(config().join(path)).unwrap();
    let mut found = Vec::new();
    for entry in text.split("- name: SUKI_RECEIVER__").skip(1) {
        let mut lines = entry.lines();
        let name = format!("SUKI_RECEIVER__{}", lines.next().unwrap().trim());
        let value = lines.next().unwrap().trim();
        let value = value.strip_prefix("value: ").unwrap().trim_matches('"');
        found.push((name, value.to_owned()));
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn every_configuration_of_the_manifests_is_one_that_the_service_starts_with() {
    let mounts = Mounts::make();
    let all: Vec<_> = ["monitoring", "tls"].map(variables).concat();
    for (name, toml) in configurations() {
        // The others have no components.
        let sets: &[&[(String, String)]] = if name.starts_with("kubernetes") {
            &[&[], &all]
        } else {
            &[&[]]
        };
        for variables in sets {
            let done = mounts.check(&toml, variables);
            let said = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(0), "{name} {variables:?}: {said}");
            // The test's certificate has no authority, and what is the operator's own is not set everywhere.
            let expected = [
                "certificate",
                "is plain HTTP off loopback",
                "sdp.auth is not set",
                "no sink is configured",
            ];
            let warnings: Vec<_> = said
                .lines()
                .filter(|line| line.starts_with("warning"))
                .filter(|line| !expected.iter().any(|part| line.contains(part)))
                .collect();
            assert!(warnings.is_empty(), "{name}: {warnings:?}");
        }
    }
}
