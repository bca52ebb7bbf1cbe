//! OpenTelemetry's standard environment variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT`, as keys of `[otel]`
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
//!
//! They take precedence over the file, and this service's own variables take precedence over them. Settings that this
//! service does not have are ignored, because the variables are often set for all programs on a machine.

use percent_encoding::percent_decode_str;

use crate::config::reader::problem::Problem;
use crate::config::reader::tree::{self, Table};
use crate::config::reader::{Env, Source};

/// Sets the variables' keys in `root`. If two variables set the same key, the later one in this function wins.
pub(in crate::config) fn apply(env: &Env, root: &mut Table) -> Vec<Problem> {
    let mut keys = Keys {
        env,
        root,
        problems: Vec::new(),
    };
    keys.pairs("OTEL_RESOURCE_ATTRIBUTES", "attributes");
    keys.pairs("OTEL_EXPORTER_OTLP_HEADERS", "headers");
    keys.pairs("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "headers");
    keys.one("OTEL_SERVICE_NAME", "service_name", as_it_is);
    keys.one("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca_file", as_it_is);
    keys.one("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "ca_file", as_it_is);
    keys.one("OTEL_EXPORTER_OTLP_TIMEOUT", "timeout", milliseconds);
    keys.one("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "timeout", milliseconds);
    keys.one("OTEL_TRACES_SAMPLER", "sample", all_or_none);
    if keys.has_ratio() {
        keys.one("OTEL_TRACES_SAMPLER_ARG", "sample", as_it_is);
    }
    keys.one("OTEL_EXPORTER_OTLP_ENDPOINT", "endpoint", below_base);
    keys.one("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "endpoint", as_it_is);
    keys.one("OTEL_TRACES_EXPORTER", "endpoint", |exporter| {
        Ok((exporter == "none").then(String::new))
    });
    keys.one("OTEL_SDK_DISABLED", "endpoint", |is_disabled| {
        Ok(is_disabled.eq_ignore_ascii_case("true").then(String::new))
    });
    keys.problems
}

/// The environment, the tree that is filled from it, and the problems that are found.
struct Keys<'a> {
    env: &'a Env,
    root: &'a mut Table,
    problems: Vec<Problem>,
}

/// Translates a variable's text into the value of its key; `None` if it sets nothing.
type Meaning = fn(&str) -> Result<Option<String>, String>;

impl Keys<'_> {
    /// Reads a variable that sets one key.
    fn one(&mut self, name: &str, key: &str, meaning: Meaning) {
        let Some(text) = self.text(name, key) else {
            return;
        };
        match meaning(&text) {
            Ok(None) => {}
            Ok(Some(value)) => self.set(&[key], &value, name),
            Err(message) => self.problem(&[key], message, name),
        }
    }

    /// Reads a variable that fills a table: `name=value,name=value`, with values percent-encoded as in W3C Baggage.
    fn pairs(&mut self, name: &str, table: &str) {
        let Some(text) = self.text(name, table) else {
            return;
        };
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            // The text is not shown, because it may contain a secret.
            let Some((key, value)) = pair.split_once('=') else {
                let message = "expected pairs such as name=value,name=value".to_owned();
                return self.problem(&[table], message, name);
            };
            let Ok(value) = percent_decode_str(value.trim()).decode_utf8() else {
                let message = "has a value that is not UTF-8 after percent-decoding".to_owned();
                return self.problem(&[table], message, name);
            };
            match (table, key.trim()) {
                ("attributes", "service.name") => self.set(&["service_name"], &value, name),
                (table, key) => self.set(&[table, key], &value, name),
            }
        }
    }

    /// Whether the configured sampler takes a ratio.
    fn has_ratio(&self) -> bool {
        let sampler = self.env.get("OTEL_TRACES_SAMPLER").ok().flatten();
        sampler.is_some_and(|sampler| sampler.trim().ends_with("traceidratio"))
    }

    /// The text of a variable; an empty one counts as not set.
    fn text(&mut self, name: &str, key: &str) -> Option<String> {
        match self.env.get(name) {
            Ok(text) => text
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty()),
            Err(message) => {
                self.problem(&[key], message, name);
                None
            }
        }
    }

    fn set(&mut self, path: &[&str], text: &str, name: &str) {
        let whole: Vec<&str> = [&["otel"], path].concat();
        let source = Source::Env(name.to_owned());
        if let Err(message) = tree::set(self.root, &whole, text, &source) {
            self.problem(path, message, name);
        }
    }

    fn problem(&mut self, path: &[&str], message: String, name: &str) {
        self.problems.push(Problem {
            key: format!("otel.{}", path.join(".")),
            source: Some(Source::Env(name.to_owned())),
            message,
        });
    }
}

#[allow(clippy::unnecessary_wraps, reason = "one of several meanings")]
fn as_it_is(text: &str) -> Result<Option<String>, String> {
    Ok(Some(text.to_owned()))
}

/// The address of traces, below a collector's base address.
#[allow(clippy::unnecessary_wraps, reason = "one of several meanings")]
fn below_base(base: &str) -> Result<Option<String>, String> {
    Ok(Some(format!("{}/v1/traces", base.trim_end_matches('/'))))
}

fn milliseconds(text: &str) -> Result<Option<String>, String> {
    let number: u64 = text
        .parse()
        .map_err(|_| format!("invalid number of milliseconds '{text}'"))?;
    Ok(Some(format!("{number}ms")))
}

/// The share that a sampler stands for; none for a sampler that this service does not have. The share of a sampler with
/// a ratio is in another variable.
#[allow(clippy::unnecessary_wraps, reason = "one of several meanings")]
fn all_or_none(sampler: &str) -> Result<Option<String>, String> {
    match sampler {
        "always_on" | "parentbased_always_on" | "traceidratio" | "parentbased_traceidratio" => {
            Ok(Some("1.0".to_owned()))
        }
        "always_off" | "parentbased_always_off" => Ok(Some("0.0".to_owned())),
        // Such as `xray` or `jaeger_remote`, which ask a server.
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reader::tree::Value;

    fn applied(variables: &[(&str, &str)]) -> (Vec<(String, String)>, Vec<String>) {
        let (env, mut root): (Env, _) = (variables.iter().copied().collect(), Table::new());
        let problems = apply(&env, &mut root);
        let mut found = Vec::new();
        flatten("", root, &mut found);
        let problems = problems.iter().map(ToString::to_string).collect();
        (found, problems)
    }

    fn flatten(path: &str, table: Table, found: &mut Vec<(String, String)>) {
        for (key, node) in table {
            let key = format!("{path}{key}");
            match node.value {
                Value::Table(table) => flatten(&format!("{key}/"), table, found),
                value => found.push((key, value.text().unwrap_or("?").to_owned())),
            }
        }
    }

    #[test]
    fn each_variable_sets_its_key() {
        for (variables, expected) in [
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")][..],
                &[("otel/endpoint", "http://collector:4318/v1/traces")][..],
            ),
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector/otlp/")],
                &[("otel/endpoint", "https://collector/otlp/v1/traces")],
            ),
            (
                &[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:4318"),
                    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://it/traces"),
                ],
                &[("otel/endpoint", "http://it/traces")],
            ),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], &[]),
            (
                &[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
                    ("OTEL_SDK_DISABLED", "True"),
                ],
                &[("otel/endpoint", "")],
            ),
            (
                &[("OTEL_TRACES_EXPORTER", "none")],
                &[("otel/endpoint", "")],
            ),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], &[]),
            (
                &[(
                    "OTEL_EXPORTER_OTLP_HEADERS",
                    "x-key=a%20b%3D, authorization=Basic YQ==",
                )],
                &[
                    ("otel/headers/authorization", "Basic YQ=="),
                    ("otel/headers/x-key", "a b="),
                ],
            ),
            (
                &[
                    (
                        "OTEL_RESOURCE_ATTRIBUTES",
                        "service.name=a,deployment.environment.name=prod",
                    ),
                    ("OTEL_SERVICE_NAME", "b"),
                ],
                &[
                    ("otel/attributes/deployment.environment.name", "prod"),
                    ("otel/service_name", "b"),
                ],
            ),
            (
                &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=a")],
                &[("otel/service_name", "a")],
            ),
            (
                &[("OTEL_EXPORTER_OTLP_TIMEOUT", "1500")],
                &[("otel/timeout", "1500ms")],
            ),
            (
                &[
                    ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
                    ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
                ],
                &[("otel/sample", "0.25")],
            ),
            (
                &[
                    ("OTEL_TRACES_SAMPLER", "always_off"),
                    ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
                ],
                &[("otel/sample", "0.0")],
            ),
            (&[("OTEL_METRICS_EXPORTER", "prometheus")], &[]),
            (
                &[
                    ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote"),
                    ("OTEL_TRACES_SAMPLER_ARG", "endpoint=http://jaeger:14250"),
                ],
                &[],
            ),
        ] {
            let (found, problems) = applied(variables);
            let found: Vec<(&str, &str)> = found
                .iter()
                .map(|(key, value)| (&**key, &**value))
                .collect();
            assert_eq!(found, expected, "{variables:?}");
            assert_eq!(problems, Vec::<String>::new(), "{variables:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_named_without_its_text_where_that_may_be_secret() {
        for (variable, expected) in [
            (
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "3s"),
                "invalid number of milliseconds '3s'",
            ),
            (("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"), "expected pairs"),
            (("OTEL_EXPORTER_OTLP_HEADERS", "a=%FFhunter2"), "not UTF-8"),
        ] {
            let (_, problems) = applied(&[variable]);
            let [problem] = &problems[..] else {
                panic!("{problems:?}")
            };
            assert!(problem.contains(expected), "{problem}");
            assert!(problem.contains(variable.0), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
