//! Tests of the sources of secrets, and that no secret is ever shown.

use std::fs;

use super::super::{PartnerToken, Role, Secret, SinkTarget};
use super::{SECRET, Setup, problems_of};

#[test]
fn secrets_come_from_literals_files_variables_and_commands_without_the_last_newline() {
    let setup = Setup::toml(
        r#"
[signature]
secrets = [
    { id = "a", value = "literal" },
    { id = "b", env = "B" },
    { id = "c", command = ["sh", "-c", "echo from-command"] },
]
[admin]
tokens = [{ name = "ops", role = "viewer", value = "viewer-token-of-ops" }]
"#,
    );
    let file = setup.file("secret", "from-file\r\n").display().to_string();
    let config = setup
        .env([
            ("B", "from-variable\n"),
            ("SUKI_RECEIVER__SIGNATURE__SECRET_FILE", &file),
            ("SUKI_RECEIVER__ADMIN__TOKEN", "operator-token-of-env"),
        ])
        .loaded()
        .config;
    let secrets: Vec<_> = config
        .signature
        .secrets
        .iter()
        .map(|named| {
            (
                named.id.as_str(),
                named.secret.expose(),
                named.secret.origin(),
            )
        })
        .collect();
    let expected = [
        ("a", "literal", "literal".to_owned()),
        ("b", "from-variable", "variable B".to_owned()),
        ("c", "from-command", "command sh".to_owned()),
        ("env", "from-file", format!("file {file}")),
    ];
    assert_eq!(secrets, expected);
    let tokens: Vec<_> = config
        .admin
        .tokens
        .iter()
        .map(|token| (token.name.as_str(), token.role, token.secret.expose()))
        .collect();
    let expected = [
        ("ops", Role::Viewer, "viewer-token-of-ops"),
        ("env", Role::Operator, "operator-token-of-env"),
    ];
    assert_eq!(tokens, expected);
}

#[test]
fn a_variable_with_file_beats_the_file_and_is_refused_beside_its_twin() {
    let toml =
        "[sdp.auth]\npartner_id = \"p\"\npartner_token = { signing_key = \"k\", issuer = \"i\" }\n";
    let setup = Setup::toml(toml);
    let file = setup.file("token", "t\n").display().to_string();
    let by_file = (
        "SUKI_RECEIVER__SDP__AUTH__PARTNER_TOKEN_FILE",
        file.as_str(),
    );
    let setup = setup.env([SECRET, by_file]);
    let auth = setup.loaded().config.sdp.auth.expect("credentials");
    let PartnerToken::Given(secret) = auth.partner_token else {
        panic!("{auth:?}");
    };
    assert_eq!(secret.expose(), "t");

    let twin = ("SUKI_RECEIVER__SDP__AUTH__PARTNER_TOKEN", "t");
    let problems = setup.env([SECRET, by_file, twin]).problems();
    assert!(problems.contains("set one of the two"), "{problems}");
}

#[test]
fn a_file_is_read_again_when_it_is_asked_for() {
    let setup = Setup::toml("");
    let file = setup.file("secret", "old\n");
    let text = file.display().to_string();
    let setup = setup.env([("SUKI_RECEIVER__SIGNATURE__SECRET_FILE", &*text)]);
    let secret = setup.loaded().config.signature.secrets.remove(0).secret;
    setup.file("secret", "new\n");
    assert_eq!(secret.expose(), "old");
    assert_eq!(secret.reread().expect("a file").expose(), "new");
    fs::remove_file(file).expect("a file");
    assert!(secret.reread().is_err());
}

#[test]
fn a_self_signed_partner_token_has_its_key_and_claims() {
    let toml = r#"
[sdp.auth]
partner_id = "p"
partner_token = { signing_key = { value = "hunter2" }, issuer = "i", audience = "a", subject = "s", key_id = "k" }
"#;
    let loaded = Setup::toml(toml).env([SECRET]).loaded();
    let effective = loaded.effective.to_string();
    assert!(
        effective.contains("signing_key = \"[redacted]\""),
        "{effective}"
    );
    let auth = loaded.config.sdp.auth.expect("credentials");
    let PartnerToken::SelfSigned(key) = &auth.partner_token else {
        panic!("{auth:?}");
    };
    assert_eq!(key.key.expose(), "hunter2");
    assert_eq!(
        [&key.issuer, &key.audience, &key.subject, &key.key_id],
        ["i", "a", "s", "k"]
    );

    let problems =
        problems_of("[sdp.auth]\npartner_id = \"p\"\npartner_token = { issuer = \"i\" }");
    for key in ["audience", "subject", "signing_key"] {
        let missing = format!("sdp.auth.partner_token.{key} (receiver.toml:3): is missing");
        assert!(problems.contains(&missing), "{problems}");
    }
}

#[test]
fn a_secret_that_cannot_be_had_is_an_error_that_says_why() {
    let problems = problems_of(
        r#"
[signature]
secrets = [
    { id = "missing", file = "/no/such/file" },
    { id = "unset", env = "NO_SUCH_VARIABLE" },
    { id = "failing", command = ["false"] },
    { id = "empty", value = "" },
    { id = "none" },
    { id = "both", value = "hunter2", file = "/x" },
]
"#,
    );
    for part in [
        "signature.secrets.missing.file (receiver.toml:4): cannot read /no/such/file",
        "signature.secrets.unset.env (receiver.toml:5): the variable NO_SUCH_VARIABLE is not set",
        "signature.secrets.failing.command (receiver.toml:6): the command false failed with exit status: 1",
        "signature.secrets.empty.value (receiver.toml:7): the literal is empty or blank",
        "signature.secrets.none (receiver.toml:8): needs exactly one of value, file, env and command",
        "signature.secrets.both (receiver.toml:9): needs exactly one of value, file, env and command",
    ] {
        assert!(problems.contains(part), "{part}\n{problems}");
    }
}

#[test]
fn variables_set_and_replace_headers_whatever_their_case_also_from_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("token");
    std::fs::write(&file, "from-a-file\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let ehr = |key: &str| format!("SUKI_RECEIVER__SINKS__EHR__HEADERS__{key}");
    let headers = |written: &str, variables: &[(&str, &str)]| {
        let toml = format!(
            "[[sinks]]\nname = \"ehr\"\ntype = \"http\"\nurl = \"https://ehr.example\"\nheaders = {{ {written} }}\n"
        );
        let names: Vec<String> = variables.iter().map(|(key, _)| ehr(key)).collect();
        let values = variables.iter().map(|(_, value)| *value);
        let variables = names.iter().map(String::as_str).zip(values);
        Setup::toml(&toml).env([SECRET].into_iter().chain(variables))
    };
    let sent = |setup: &Setup| -> Vec<String> {
        let loaded = setup.loaded();
        let SinkTarget::Http(http) = &loaded.config.sinks[0].target else {
            panic!("{:?}", loaded.config.sinks);
        };
        let one = |(name, value): &(String, Secret)| format!("{name}: {}", value.expose());
        http.headers.iter().map(one).collect()
    };
    let file_variable = ("AUTHORIZATION_FILE", file);
    assert_eq!(
        sent(&headers("", &[file_variable])),
        ["authorization: from-a-file"]
    );
    let written = "Authorization = \"from-the-file\", X_Key = \"x\"";
    assert_eq!(
        sent(&headers(written, &[file_variable])),
        ["Authorization: from-a-file", "X_Key: x"]
    );
    assert_eq!(
        sent(&headers(
            written,
            &[("AUTHORIZATION", "new"), ("X_KEY", "y"), ("X_API_KEY", "z")]
        )),
        ["Authorization: new", "X_Key: y", "x-api-key: z"]
    );
    let otel = ("OTEL_EXPORTER_OTLP_HEADERS", "api_key=a,my_file=b");
    let otel = Setup::nothing().env([SECRET, otel]).loaded().config.otel;
    let names: Vec<&str> = otel.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["api_key", "my_file"], "as they are written");
    let problems = headers("", &[file_variable, ("AUTHORIZATION", "new")]).problems();
    assert!(problems.contains("set one of the two"), "{problems}");
}

#[test]
fn no_secret_is_shown_by_the_effective_configuration_or_by_debug() {
    let loaded = Setup::toml(
        r#"
[admin]
tokens = [{ name = "ops", role = "viewer", value = "hunter2-admin-token" }]
[signature]
secrets = [{ id = "a", value = "hunter2-signature" }]
[sdp.auth]
partner_id = "p"
partner_token = { command = ["echo", "hunter2-partner"] }
[[sinks]]
name = "ehr"
type = "http"
url = "https://ehr.example/hunter2-path?token=hunter2"
secret = "hunter2-sink"
secrets = [{ id = "next", value = "hunter2-next" }]
headers = { "X-Key" = "hunter2-header" }
"#,
    )
    .env([
        SECRET,
        ("SUKI_RECEIVER__ADMIN__TOKEN", "hunter2-env-token-of-all"),
    ])
    .loaded();
    let SinkTarget::Http(http) = &loaded.config.sinks[0].target else {
        panic!("{:?}", loaded.config.sinks);
    };
    assert_eq!(http.secrets.len(), 2);
    assert_eq!(http.headers[0].1.expose(), "hunter2-header");
    let effective = loaded.effective.to_string();
    assert_eq!(effective.matches("[redacted]").count(), 9, "{effective}");
    toml::from_str::<toml::Table>(&effective).expect("well-formed TOML");
    for shown in [effective, format!("{loaded:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn no_error_shows_what_was_written_for_a_secret() {
    let problems = Setup::toml(
        r#"
hunter = "hunter2"
[admin]
token = "hunter2"
tokens = ["hunter2", { name = "a", role = "operator", value = ["hunter2"] }]
[signature]
secrets = [{ id = "a", vallue = "hunter2" }, { id = "b", value = "hunter2", env = "hunter2" }]
[sdp]
base_url = "https://user:hunter2@sdp.example"
[sdp.auth]
partner_id = "p"
partner_token = ["hunter2"]
[store]
url = "postgres://user:hunter2@db/receiver?sslmode=hunter2"
[[sinks]]
name = "ehr"
type = "http"
url = "ftp://user:hunter2@ehr.example"
secret = { value = 5, extra = "hunter2" }
headers = { "content-type" = "hunter2", "X-Key" = "hunter2\nhunter2" }
"#,
    )
    .env([
        ("SUKI_RECEIVER__SIGNATURE__SECRETT", "hunter2"),
        ("SUKI_RECEIVER__SINKS__EHR__SECRET_FILE", "/no/such/file"),
        ("SUKI_RECEIVER__SINKS__OTHER__SECRET", "{ file = hunter2 }"),
        ("SUKI_RECEIVER__SINKS__OTHER__TYPE", "http"),
        ("SUKI_RECEIVER__SINKS__OTHER__URL", "hunter2"),
    ])
    .problems();
    assert!(!problems.contains("hunter2"), "{problems}");
    assert!(
        problems.contains(
            "sinks.other.secret (SUKI_RECEIVER__SINKS__OTHER__SECRET): looks like a table"
        ),
        "{problems}"
    );
    assert!(
        problems.contains("store.url (receiver.toml:14): invalid database address"),
        "{problems}"
    );
}
