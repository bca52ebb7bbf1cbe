//! One table of spellings, through every source and for every secret: a secret's value must not depend on how it is
//! passed.

use super::super::{Config, PartnerToken, SinkTarget};
use super::{SECRET, Setup};

const VALUE: &str = "a-secret-0123456789-of-anyone";

/// Characters around the value in a file, a variable, an output or a literal that are not part of it.
const WRAPPINGS: [(&str, &str); 9] = [
    ("", ""),
    ("", "\n"),
    ("", "\r\n"),
    ("", "\r"),
    ("", "\n\n\n"),
    ("\n", "\n"),
    ("\u{feff}", ""),
    ("\u{feff}", "\r\n"),
    ("\r\n\u{feff}\n", "\u{feff}\n"),
];

/// Extracts a value from the configuration.
type Got = fn(&Config) -> String;

/// Every place that takes a secret: TOML with `§` at the secret's place, and how the value is extracted.
const PLACES: [(&str, Got); 9] = [
    ("signature.secrets = [{ id = \"a\", § }]", |config| {
        config.signature.secrets[0].secret.expose().to_owned()
    }),
    (
        "admin.tokens = [{ name = \"a\", role = \"viewer\", § }]",
        |config| config.admin.tokens[0].secret.expose().to_owned(),
    ),
    (
        "store = { url = \"postgres://u@localhost/d\", password = { § } }",
        |config| {
            let password = config.store.password.as_ref().expect("a password");
            password.expose().to_owned()
        },
    ),
    (
        "sdp.auth = { partner_id = \"p\", partner_token = { § } }",
        |config| match &config.sdp.auth.as_ref().expect("credentials").partner_token {
            PartnerToken::Given(secret) => secret.expose().to_owned(),
            PartnerToken::SelfSigned(_) | PartnerToken::Command(_) => panic!("it is given"),
        },
    ),
    (
        "sdp.auth = { partner_id = \"p\", partner_token = { signing_key = { § }, issuer = \"i\", audience = \"a\", subject = \"s\" } }",
        |config| match &config.sdp.auth.as_ref().expect("credentials").partner_token {
            PartnerToken::SelfSigned(key) => key.key.expose().to_owned(),
            PartnerToken::Given(_) | PartnerToken::Command(_) => panic!("it is signed"),
        },
    ),
    (
        "sinks = [{ name = \"h\", type = \"http\", url = \"https://h.example\", secret = { § } }]",
        |config| http(config).secrets[0].secret.expose().to_owned(),
    ),
    (
        "sinks = [{ name = \"h\", type = \"http\", url = \"https://h.example\", secrets = [{ id = \"a\", § }] }]",
        |config| http(config).secrets[0].secret.expose().to_owned(),
    ),
    (
        "sinks = [{ name = \"h\", type = \"http\", url = \"https://h.example\", headers = { X-Key = { § } } }]",
        |config| http(config).headers[0].1.expose().to_owned(),
    ),
    (
        "sinks = [{ name = \"h\", type = \"http\", url = \"https://h.example\", headers = { X-Key = \"#\" } }]",
        |config| http(config).headers[0].1.expose().to_owned(),
    ),
];

fn http(config: &Config) -> &super::super::HttpConfig {
    match &config.sinks[0].target {
        SinkTarget::Http(http) => http,
        SinkTarget::Files(_) => panic!("it is an http sink"),
    }
}

#[test]
fn the_same_value_works_by_file_variable_command_and_literal_whatever_line_ends_surround_it() {
    for (before, after) in WRAPPINGS {
        let text = format!("{before}{VALUE}{after}");
        let literal = toml::Value::from(text.clone()).to_string();
        for (place, value_of) in PLACES {
            for source in ["value", "file", "env", "command"] {
                let setup = Setup::nothing();
                let file = setup.file("secret", &text).display().to_string();
                let described = match source {
                    "value" => format!("value = {literal}"),
                    "file" => format!("file = \"{file}\""),
                    "env" => "env = \"THE_SECRET\"".to_owned(),
                    _ => format!("command = [\"cat\", \"{file}\"]"),
                };
                let toml = place.replace('§', &described).replace("\"#\"", &literal);
                let path = setup.file("receiver.toml", &toml);
                let mut setup = setup.env([SECRET, ("THE_SECRET", &text)]);
                setup.options.file = Some(path);
                let config = setup.loaded().config;
                assert_eq!(value_of(&config), VALUE, "{text:?} by {source} for {place}");
            }
        }
    }
}

#[test]
fn the_variables_of_secrets_and_of_their_files_take_the_same_spellings() {
    for (before, after) in WRAPPINGS {
        let text = format!("{before}{VALUE}{after}");
        let setup = Setup::nothing();
        let file = setup.file("secret", &text).display().to_string();
        for (name, value) in [("", text.as_str()), ("_FILE", file.as_str())] {
            let variable = |key: &str| format!("SUKI_RECEIVER__{key}{name}");
            let (signature, admin) = (variable("SIGNATURE__SECRET"), variable("ADMIN__TOKEN"));
            let (partner, sink) = (
                variable("SDP__AUTH__PARTNER_TOKEN"),
                variable("SINKS__H__SECRET"),
            );
            let config = Setup::nothing()
                .env([
                    (signature.as_str(), value),
                    (admin.as_str(), value),
                    (partner.as_str(), value),
                    (sink.as_str(), value),
                    ("SUKI_RECEIVER__SDP__AUTH__PARTNER_ID", "p"),
                    ("SUKI_RECEIVER__SINKS__H__TYPE", "http"),
                    ("SUKI_RECEIVER__SINKS__H__URL", "https://h.example"),
                ])
                .loaded()
                .config;
            let PartnerToken::Given(partner) =
                &config.sdp.auth.as_ref().expect("auth").partner_token
            else {
                panic!("it is given");
            };
            for secret in [
                &config.signature.secrets[0].secret,
                &config.admin.tokens[0].secret,
                partner,
                &http(&config).secrets[0].secret,
            ] {
                assert_eq!(secret.expose(), VALUE, "{text:?} by {name}");
            }
        }
    }
}

#[test]
fn nothing_but_line_ends_is_nothing_and_utf_16_is_named() {
    for text in ["\n", "\u{feff}\r\n", "  ", "\t\n"] {
        let problems = Setup::nothing()
            .env([("SUKI_RECEIVER__SIGNATURE__SECRET", text)])
            .problems();
        assert!(
            problems.contains("is empty or blank"),
            "{text:?} {problems}"
        );
    }
    let setup = Setup::nothing();
    let file = setup.folder.path().join("utf-16");
    std::fs::write(&file, b"\xff\xfes\0e\0c\0r\0e\0t\0").expect("a file");
    let file = file.display().to_string();
    let problems = setup
        .env([("SUKI_RECEIVER__SIGNATURE__SECRET_FILE", &*file)])
        .problems();
    assert!(problems.contains("it is UTF-16"), "{problems}");
}

#[test]
fn odd_secrets_are_warned_of_with_the_reason_and_without_the_secret() {
    for (text, reason) in [
        (
            " hunter2-hunter2-hunter2",
            "has a blank at its start or end",
        ),
        (
            "hunter2-hunter2-hunter2\t",
            "has a blank at its start or end",
        ),
        ("\"hunter2-hunter2-hunter2\"", "is in quotes"),
        ("'hunter2-hunter2-hunter2'", "is in quotes"),
        (
            "\"hunter2-hunter2-hunter2",
            "has a quote at its start or end",
        ),
        (
            "hunter2-hunter2-hunter2\u{201d}",
            "has a quote at its start or end",
        ),
        ("hunter2-hunter2\nhunter2-hunter2", "more than one line"),
        ("hunter2-hunter2\u{ad}-hunter2", "cannot be seen"),
        ("hunter2-hunter2-hunter2\u{200e}", "cannot be seen"),
        ("hunter2-\u{2060}hunter2-hunter2", "cannot be seen"),
        ("WHSEC_hunter2-hunter2-hunter2", "Standard Webhooks"),
        ("\"Whsec_hunter2-hunter2-hunter2\"", "Standard Webhooks"),
        ("\u{201c}hunter2-hunter2-hunter2\u{201d}", "is in quotes"),
        ("hunter2-hunter2\u{200b}-hunter2", "cannot be seen"),
        ("hunter2-hunter2\0-hunter2", "cannot be seen"),
        ("hunter2", "fewer than 16 characters"),
        (
            "whsec_hunter2-hunter2-hunter2",
            "looks like a secret of Standard Webhooks",
        ),
        (
            "v1,whsec_hunter2-hunter2",
            "looks like a secret of Standard Webhooks",
        ),
    ] {
        let loaded = Setup::nothing()
            .env([("SUKI_RECEIVER__SIGNATURE__SECRET", text)])
            .loaded();
        let warnings = loaded.warnings.join("\n");
        assert!(warnings.contains(reason), "{text:?}: {warnings}");
        assert!(!warnings.contains("hunter2"), "{warnings}");
        assert_eq!(loaded.config.signature.secrets[0].secret.expose(), text);
    }
    let well = Setup::nothing()
        .env([("SUKI_RECEIVER__SIGNATURE__SECRET", VALUE)])
        .loaded();
    let warnings = well.warnings.join("\n");
    assert!(!warnings.contains("signature"), "{warnings}");
}

#[test]
fn a_misspelt_variable_is_warned_of_with_the_nearest_name() {
    for (name, nearest) in [
        (
            "SUKI_RECEIVER_SERVER_LISTEN",
            "SUKI_RECEIVER__SERVER__LISTEN",
        ),
        (
            "SUKI_RECEIVER_SERVER__LISTEN",
            "SUKI_RECEIVER__SERVER__LISTEN",
        ),
        (
            "SUKI_RECIEVER__SERVER__LISTEN",
            "SUKI_RECEIVER__SERVER__LISTEN",
        ),
        ("suki_receiver__store__url", "SUKI_RECEIVER__STORE__URL"),
        (
            "SUKI_RECEIVER_SIGNATURE_SECRET",
            "SUKI_RECEIVER__SIGNATURE__SECRET",
        ),
        (
            "SUKI_RECEIVER_SIGNATURE_SECRET_FILE",
            "SUKI_RECEIVER__SIGNATURE__SECRET_FILE",
        ),
        (
            "SUKI_RECEIVER_FOLLOW_RETRY_MAX",
            "SUKI_RECEIVER__FOLLOW__RETRY__MAX",
        ),
        ("SUKI_RECEIVER_CONFG", "SUKI_RECEIVER_CONFIG"),
    ] {
        let warnings = Setup::nothing()
            .env([SECRET, (name, "hunter2")])
            .loaded()
            .warnings
            .join("\n");
        let expected =
            format!("the environment variable {name} sets nothing; did you mean {nearest}?");
        assert!(warnings.contains(&expected), "{name}: {warnings}");
    }
    for name in [
        "SUKI_RECEIVER_SERVICE_HOST",
        "SUKI_RECEIVER_PORT_8080_TCP_ADDR",
        "SUKI_RECEIVER_PORT",
        "SUKI_OTHER_THING",
        "PATH",
    ] {
        let warnings = Setup::nothing()
            .env([SECRET, (name, "x")])
            .loaded()
            .warnings;
        assert!(!warnings.join("\n").contains(name), "{warnings:?}");
    }
}

#[test]
fn a_variable_with_one_underscore_for_two_further_on_is_refused_with_the_nearest_name() {
    for (name, expected) in [
        (
            "SUKI_RECEIVER__SIGNATURE_SECRET_FILE",
            "did you mean SUKI_RECEIVER__SIGNATURE__SECRET_FILE?",
        ),
        (
            "SUKI_RECEIVER__FOLLOW__RETRY_MAX",
            "did you mean SUKI_RECEIVER__FOLLOW__RETRY__MAX?",
        ),
        (
            "SUKI_RECEIVER__SDP__AUTH_PARTNER_ID",
            "did you mean SUKI_RECEIVER__SDP__AUTH__PARTNER_ID?",
        ),
        (
            "SUKI_RECEIVER__CONFIG",
            "did you mean SUKI_RECEIVER_CONFIG?",
        ),
        (
            "SUKI_RECEIVER__SINKS__EHR_URL",
            "a sink's key is set by SUKI_RECEIVER__SINKS__NAME__KEY",
        ),
    ] {
        let problems = Setup::nothing().env([SECRET, (name, "hunter2")]).problems();
        assert!(problems.contains(expected), "{name}: {problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
    let problems = Setup::toml("[store]\nURL = \"x\"\nPool-Size = 3\n")
        .env([SECRET])
        .problems();
    for expected in ["did you mean 'url'?", "did you mean 'pool_size'?"] {
        assert!(problems.contains(expected), "{problems}");
    }
}

#[test]
fn a_reload_names_what_it_does_not_take_up_and_nothing_else() {
    let load = |toml: &str| Setup::toml(toml).env([SECRET]).loaded().effective;
    let sink = |url: &str, secret: &str| {
        format!(
            "[[sinks]]\nname = \"h\"\ntype = \"http\"\nurl = \"{url}\"\nsecret = \"{secret}\"\nheaders = {{ X-A = \"{secret}\" }}\n"
        )
    };
    let before = load(&format!(
        "signature.secrets = [{{ id = \"a\", value = \"{VALUE}\" }}]\n{}",
        sink("https://a.example", "one")
    ));
    let after = load(&format!(
        "server.max_connections = 7\nsignature.secrets = [{{ id = \"b\", value = \"{VALUE}\" }}]\n\
         admin.tokens = [{{ name = \"t\", role = \"viewer\", value = \"{VALUE}\" }}]\n{}",
        sink("https://b.example", "two")
    ));
    assert_eq!(
        before.changed_beyond_reload(&after),
        ["server.max_connections", "sinks.h.url"]
    );
    assert!(before.changed_beyond_reload(&before).is_empty());
    let hidden = |secret: &str| {
        load(&format!(
            "store.url = \"postgres://u:{secret}@db/receiver\"\nnet.proxy = \"http://proxy:3128\"\n\
             net.proxy_credentials = \"u:{secret}\"\n[sdp.auth]\npartner_id = \"p\"\npartner_token = \"{secret}\"\n{}",
            sink(&format!("https://a.example/?key={secret}"), "one")
        ))
    };
    assert_eq!(
        hidden("one").changed_beyond_reload(&hidden("two")),
        [
            "net.proxy_credentials",
            "sdp.auth.partner_token",
            "sinks.h.url",
            "store.url"
        ]
    );
}
