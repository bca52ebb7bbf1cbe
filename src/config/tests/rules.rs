//! Tests of what the sections allow, what they refuse, and of which settings they warn.

use super::super::reader::setting::Setting;
use super::super::{AuthMode, Include, SinkTarget};
use super::{loaded_of, problems_of};
use crate::domain::{LinkGroup, Outcome};

/// Each file is refused with a message that contains the given text.
fn refused(cases: &[(&str, &str)]) {
    for (toml, part) in cases {
        let problems = problems_of(toml);
        assert!(problems.contains(part), "{toml}\n{problems}");
        assert_eq!(problems.lines().count(), 1, "{toml}\n{problems}");
    }
}

/// Each file loads with a warning that contains the given text.
fn warned(cases: &[(&str, &str)]) {
    for (toml, part) in cases {
        let warnings = loaded_of(toml).warnings.join("\n");
        assert!(warnings.contains(part), "{toml}\n{warnings}");
    }
}

#[test]
fn the_public_listener_is_checked() {
    refused(&[
        ("server.path = \"webhook\"", "does not start with a slash"),
        ("server.path = \"/a/{b}\"", "is not plain"),
        ("server.path = \"/a b\"", "is not plain"),
        ("server.path = \"/:id\"", "is not plain"),
        ("server.path = \"/readyz\"", "is a health check"),
        ("server.max_body_bytes = 0", "more than 0 bytes"),
        ("server.max_body_bytes = \"1MB\"", "invalid size"),
        (
            "server.drain_delay = \"25s\"",
            "drain_delay (receiver.toml:1): 25s is not shorter than drain_timeout",
        ),
        ("server.tls.cert_file = \"a.pem\"", "server.tls.key_file"),
        (
            "server.tls = { cert_file = \"\", key_file = \"a.pem\" }",
            "server.tls.cert_file",
        ),
        (
            "server.listen = \"0.0.0.0:9464\"",
            "admin.listen (default): 127.0.0.1:9464 and server.listen 0.0.0.0:9464 overlap",
        ),
    ]);
    warned(&[("server.drain_timeout = \"10s\"", "cut off at a stop")]);
}

#[test]
fn who_may_use_the_admin_listener_is_said_off_loopback() {
    refused(&[
        (
            "admin = { listen = \"0.0.0.0:9464\", insecure = true }",
            "is not on loopback, so name who may use it",
        ),
        (
            "[admin]\nlisten = \"0.0.0.0:9464\"\ntokens = [{ name = \"a\", role = \"viewer\", value = \"0123456789abcdef\" }]",
            "would travel in the clear; set [admin.tls], or insecure = true",
        ),
        (
            "admin.tokens = [{ name = \"a\", role = \"viewer\", value = \"0123456789abcde\" }]",
            "fewer than 16 characters",
        ),
        (
            "admin.tokens = [{ name = \"a\", role = \"viewer\", value = \"0123456789 abcdef\" }]",
            "without blanks",
        ),
        ("admin.insecure = \"yes\"", "expected true or false"),
        (
            "admin.console.hosts = [\"https://suki.example\"]",
            "invalid host name",
        ),
        (
            "admin.tokens = [{ name = \"a\", role = \"admin\", value = \"0123456789abcdef\" }]",
            "use viewer or operator",
        ),
        (
            "admin.tokens = [{ name = \"a\", role = \"viewer\", value = \"0123456789abcdef\" }, { name = \"a\", role = \"viewer\", value = \"0123456789abcdeg\" }]",
            "'a' is used twice",
        ),
    ]);
    let token = "tokens = [{ name = \"a\", role = \"viewer\", value = \"0123456789abcdef\" }]";
    for tls in [
        "insecure = true",
        "tls = { cert_file = \"a.pem\", key_file = \"b.pem\" }",
    ] {
        let toml = format!("[admin]\nlisten = \"0.0.0.0:9464\"\n{tls}\n{token}");
        let warnings = loaded_of(&toml).warnings.join("\n");
        assert_eq!(
            warnings.contains("is plain HTTP off loopback"),
            tls == "insecure = true",
            "{warnings}"
        );
    }
}

#[test]
fn signature_store_retention_and_log_are_checked() {
    refused(&[
        (
            "signature.secrets = [{ id = \"env\", value = \"x\" }]",
            "'env' is used twice",
        ),
        ("store.url = \"postgres://db/x\"", "names no user"),
        ("store.url = \"postgres://me@db\"", "names no database"),
        (
            "store.url = \"postgres://me@db/x?sslmode=maybe\"",
            "invalid database address",
        ),
        (
            "store.url = \"postgres://me@db/x?sslmode=verify-full&sslrootcert=/ca.pem\"",
            "name the file in store.ca_file",
        ),
        (
            "store.url = \"postgres://me:a@db/x\"\nstore.password = \"b\"",
            "is given twice",
        ),
        ("store.url = \"sqlite::memory:\"", "names no file"),
        ("store.url = \"sqlite://data/x\"", "has slashes"),
        ("store.url = \"sqlite:x.db?mode=rwc\"", "options of SQLite"),
        ("store.url = \"sqlite:file:x.db\"", "options of SQLite"),
        ("store.url = \"sqlite:~/x.db\"", "only a shell"),
        ("store.url = \"data/x\"", "expected sqlite:PATH"),
        ("store.deadline = \"0s\"", "longer than 0s"),
        (
            "retention.receipts = \"29d\"",
            "29d is shorter than content, which is 30d",
        ),
        ("log.level = \"verbose\"", "unknown log level 'verbose'"),
    ]);
    loaded_of("log.level = \"info,suki_receiver=debug\"");
    warned(&[
        (
            "signature.tolerance = \"30s\"",
            "signature.tolerance is below 1m",
        ),
        ("signature.on_stale = \"reject\"", "lost for good"),
    ]);
}

#[test]
fn the_vendors_address_and_credentials_are_checked() {
    refused(&[
        ("sdp.base_url = \"http://sdp.example\"", "in the clear"),
        (
            "sdp.base_url = \"https://sdp.example/?a=b\"",
            "query or fragment",
        ),
        (
            "sdp.base_url = \"ftp://sdp.example\"",
            "expected http or https",
        ),
        ("sdp.auth.partner_id = \"p\"", "sdp.auth.partner_token"),
        ("sdp.auth.partner_token = \"t\"", "sdp.auth.partner_id"),
        (
            "sdp.auth.provider_id = \"x\"",
            "set mode = \"single_auth_token\"",
        ),
        (
            "sdp.auth.mode = \"single_auth_token\"",
            "sdp.auth.provider_id",
        ),
        (
            "sdp.auth.mode = \"other\"",
            "use standard or single_auth_token",
        ),
    ]);
    for host in ["localhost", "127.0.0.1:1", "[::1]:1"] {
        loaded_of(&format!("sdp.base_url = \"http://{host}/prefix\""));
    }
    let auth = loaded_of(
        "[sdp.auth]\nmode = \"single_auth_token\"\npartner_id = \"p\"\npartner_token = \"t\"\nprovider_id = \"x\"",
    );
    let provider_id = "x".to_owned();
    let mode = auth.config.sdp.auth.map(|auth| auth.mode);
    assert_eq!(mode, Some(AuthMode::SingleAuthToken { provider_id }));
}

#[test]
fn what_is_required_is_a_list_for_each_kind_or_one_for_both() {
    let groups = |names: &[&str]| {
        names
            .iter()
            .copied()
            .map(LinkGroup::new)
            .collect::<Vec<_>>()
    };
    for (text, ambient, form_filling) in [
        ("", &["contents"][..], &["structured_data"][..]),
        (
            "[follow.required]\nambient = [\"transcripts\"]",
            &["transcripts"],
            &["structured_data"],
        ),
        (
            "follow.required = { ambient = [], form_filling = [] }",
            &[],
            &[],
        ),
        // The old spelling. A form-filling session has no contents, so they are not required of it.
        (
            "follow.required = [\"contents\"]",
            &["contents"],
            &["structured_data"],
        ),
        (
            "follow.required = [\"contents\", \"status\"]",
            &["contents", "status"],
            &["status"],
        ),
        ("follow.required = []", &[], &[]),
        // A group that is required only by default is no error if it is not followed.
        ("follow.groups = [\"contents\"]", &["contents"], &[]),
    ] {
        let required = loaded_of(text).config.follow.required;
        assert_eq!(required.ambient, groups(ambient), "{text}");
        assert_eq!(required.form_filling, groups(form_filling), "{text}");
    }
    refused(&[(
        "follow.groups = [\"contents\"]\nfollow.required = { form_filling = [\"structured_data\"] }",
        "'structured_data' is not in groups",
    )]);
}

#[test]
fn what_is_followed_is_checked() {
    refused(&[
        (
            "follow.required = [\"content\"]",
            "'content' is not in groups",
        ),
        (
            "follow.retry.initial = \"6m\"",
            "follow.retry.initial (receiver.toml:1): 6m is longer than max, which is 5m",
        ),
        (
            "follow.retry.give_up_after = \"1m\"",
            "5m is longer than give_up_after, which is 1m",
        ),
        (
            "follow.allowed_hosts = [\"https://a.example\"]",
            "invalid host name",
        ),
        (
            "follow.allowed_hosts = [\"*.example\"]",
            "invalid host name",
        ),
    ]);
    warned(&[
        (
            "follow.lease = \"59s\"",
            "follow.lease has no effect any more",
        ),
        ("follow.groups = [\"contents\", \"contens\"]", "'contens'"),
        ("follow.best_effort_for = \"100h\"", "ends the wait first"),
    ]);
}

#[test]
fn sinks_have_the_keys_of_their_type_and_no_others() {
    let files = "[[sinks]]\nname = \"a\"\ntype = \"files\"\ndir = \"out\"\n";
    let http = "[[sinks]]\nname = \"b\"\ntype = \"http\"\nurl = \"https://b.example\"\n";
    let with = |sink: &str, line: &str| format!("{sink}{line}\n");
    refused(&[
        (
            "[[sinks]]\nname = \"a\"\nurl = \"x\"",
            "sinks.a.type (receiver.toml:1): is missing",
        ),
        (
            "[[sinks]]\ntype = \"files\"\ndir = \"x\"",
            "sinks[0].name (receiver.toml:1): is missing",
        ),
        ("[[sinks]]\nname = \"a\"\ntype = \"files\"", "sinks.a.dir"),
        ("[[sinks]]\nname = \"a\"\ntype = \"http\"", "sinks.a.url"),
        (
            "[[sinks]]\nname = \"a b\"\ntype = \"files\"\ndir = \"x\"",
            "invalid sink name",
        ),
        ("[sinks]\nname = \"a\"", "write [[sinks]]"),
        (
            &with(files, "url = \"https://x\""),
            "sinks.a.url (receiver.toml:5): unknown key",
        ),
        (&with(files, files), "'a' is used twice"),
        (&with(files, "events = []"), "name an outcome"),
        (
            &with(files, "events = [\"done\"]"),
            "expected one of completed, failed",
        ),
        (
            &with(files, "include = [\"resources\"]"),
            "use [\"notification\"]",
        ),
        (
            &with(http, "headers = { \"Webhook-Id\" = \"x\" }"),
            "set by the delivery itself",
        ),
        (
            &with(http, "headers = { \"X Y\" = \"x\" }"),
            "invalid HTTP header name",
        ),
        (
            &with(http, "headers = { \"X\" = \"a\", \"x\" = \"b\" }"),
            "'x' is used twice",
        ),
        (
            &with(
                http,
                "secret = \"a\"\nsecrets = [{ id = \"default\", value = \"b\" }]",
            ),
            "'default' is used twice",
        ),
    ]);
    let http_in_the_clear = http.replace("https:", "http:");
    warned(&[(&http_in_the_clear, "sinks.b.url is http to another machine")]);

    let sinks = loaded_of(&format!(
        "{files}{http}include = [\"notification\"]\nsecret = \"s\"\n"
    ))
    .config
    .sinks;
    assert_eq!(sinks[0].events, Outcome::ALL);
    assert_eq!(sinks[0].include, Include::Everything);
    assert_eq!(sinks[0].max_concurrency, 64);
    assert_eq!(sinks[1].include, Include::NotificationOnly);
    let SinkTarget::Http(target) = &sinks[1].target else {
        panic!("{:?}", sinks[1]);
    };
    assert_eq!(target.timeout.show(), "\"30s\"");
    assert_eq!(target.secrets[0].id, "default");
}

#[test]
fn without_a_webhook_there_must_be_what_asks_for_sessions_and_what_it_asks_with() {
    let login = "sdp.auth = { partner_id = \"p\", partner_token = { value = \"t\" } }\n";
    refused(&[
        ("server.path = \"\"", "there are no credentials for that"),
        (
            &format!("{login}server.path = \"\"\nreconcile.enabled = false"),
            "reconcile.enabled is false, so no session is polled",
        ),
        (
            &format!("{login}server.path = \"\"\ncanary.enabled = true"),
            "there is nothing to post to",
        ),
    ]);
    // The default identity is not needed where there are others.
    loaded_of(
        "server.path = \"\"\n[[sdp.identities]]\nname = \"a\"\npartner_id = \"p\"\npartner_token = \"t\"",
    );
}

#[test]
fn how_often_sessions_are_asked_for_is_checked() {
    refused(&[
        (
            "reconcile.min_interval = \"10m\"\nreconcile.max_interval = \"5m\"",
            "5m is shorter than min_interval",
        ),
        (
            "reconcile.max_requests_per_second = 0",
            "use 1 to 1000, or enabled = false for none",
        ),
        ("reconcile.alarm.first_polls = 0", "use 1 to 1000"),
        ("canary.every = \"0s\"", "canary.every"),
        ("canary.url = \"ftp://example.com/\"", "canary.url"),
    ]);
}

#[test]
fn where_traces_go_is_checked() {
    let loaded =
        loaded_of("otel = { endpoint = \"http://collector:4318/v1/traces\", sample = 0.25 }");
    assert!((loaded.config.otel.sample - 0.25).abs() < f64::EPSILON);
    refused(&[
        ("otel.endpoint = \"collector:4318\"", "otel.endpoint"),
        ("otel.sample = 1.5", "expected a number from 0.0 to 1.0"),
        (
            "otel.sample = \"half\"",
            "expected a number from 0.0 to 1.0",
        ),
        ("otel.timeout = \"0s\"", "otel.timeout"),
        ("otel.service_name = \"\"", "must not be empty"),
        ("otel.attributes = { a = 1 }", "otel.attributes.a"),
        ("otel.headers = { host = \"a\" }", "otel.headers.host"),
        (
            "admin.console.trace_url = \"https://jaeger.example/trace/\"",
            "expected an address with {trace_id}",
        ),
    ]);
}
