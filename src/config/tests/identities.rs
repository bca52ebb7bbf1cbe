//! Tests of `[[sdp.identities]]`, and of the provider's name in an identity's login settings.

use super::super::{AuthMode, Identity, PartnerToken};
use super::{SECRET, Setup, loaded_of, problems_of};

/// `[sdp.auth]`, and an identity `a` with these further keys.
fn identity(keys: &str) -> String {
    format!(
        "[sdp.auth]\npartner_id = \"p\"\npartner_token = \"t\"\n[[sdp.identities]]\nname = \"a\"\n{keys}\n"
    )
}

fn the_one(toml: &str) -> Identity {
    loaded_of(toml).config.sdp.identities.remove(0)
}

#[test]
fn an_identity_has_the_partners_id_of_the_default_and_is_for_the_provider_of_its_name() {
    let identity = the_one(&identity("partner_token = \"u\""));
    assert_eq!(identity.auth.partner_id, "p");
    assert_eq!(identity.auth.mode, AuthMode::Standard);
    assert!(!identity.auth.is_per_provider());
    let fits = |provider| {
        identity
            .matches
            .iter()
            .any(|pattern| pattern.fits(provider))
    };
    assert!(fits("a") && !fits("b"));
}

#[test]
fn an_identity_may_have_everything_of_its_own_and_the_default_may_be_its_partners_id_alone() {
    let identity = the_one(
        "[[sdp.identities]]\nname = \"a\"\nmode = \"single_auth_token\"\npartner_id = \"q\"\npartner_token = \"u\"\n\
         provider_id = \"7\"\nmatch = [\"x\", \"dr-*\"]",
    );
    let provider_id = "7".to_owned();
    assert_eq!(identity.auth.partner_id, "q");
    assert_eq!(
        identity.auth.mode,
        AuthMode::SingleAuthToken { provider_id }
    );
    assert_eq!(identity.matches.len(), 2);
    let loaded = loaded_of(
        "sdp.auth.partner_id = \"p\"\n[[sdp.identities]]\nname = \"a\"\npartner_token = \"u\"",
    );
    assert!(loaded.config.sdp.auth.is_none() && loaded.config.sdp.has_credentials());
    assert_eq!(loaded.config.sdp.identities[0].auth.partner_id, "p");
}

#[test]
fn the_provider_may_stand_in_the_subject_the_provider_id_and_a_commands_arguments() {
    for keys in [
        "match = [\"*\"]\npartner_token = { signing_key = \"k\", issuer = \"i\", audience = \"a\", subject = \"{provider}@x\" }",
        "match = [\"*\"]\npartner_token = { command = [\"no-such-program\", \"--for={provider}\"] }",
        "match = [\"*\"]\npartner_token = \"u\"\nmode = \"single_auth_token\"\nprovider_id = \"{provider}\"",
    ] {
        let loaded = loaded_of(&identity(keys));
        assert!(
            loaded.config.sdp.identities[0].auth.is_per_provider(),
            "{keys}"
        );
        let warnings = loaded.warnings.join("\n");
        assert!(!warnings.contains("provider"), "{keys}: {warnings}");
    }
    let default =
        "sdp.auth = { partner_id = \"p\", partner_token = { command = [\"x\", \"{provider}\"] } }";
    let loaded = loaded_of(default);
    let auth = loaded.config.sdp.auth.expect("credentials");
    assert!(matches!(auth.partner_token, PartnerToken::Command(_)));
    let warnings = loaded.warnings.join("\n");
    assert!(
        warnings.contains("every SDP identity needs the provider's name"),
        "{warnings}"
    );
}

#[test]
fn what_is_no_identity_is_refused_with_what_would_be_one() {
    for (keys, part) in [
        (
            "",
            "sdp.identities.a.partner_token (receiver.toml:4): is missing",
        ),
        (
            "partner_token = \"u\"\nmatch = []",
            "is empty; name a provider",
        ),
        (
            "partner_token = \"u\"\nmatch = [\"a*b\"]",
            "has a * that is not its end",
        ),
        (
            "partner_token = \"u\"\nmatches = [\"b\"]",
            "did you mean 'match'?",
        ),
        (
            "partner_token = \"u\"\nprovider_id = \"7\"",
            "set mode = \"single_auth_token\"",
        ),
        (
            "partner_token = \"u\"\nmode = \"single_auth_token\"",
            "sdp.identities.a.provider_id",
        ),
        (
            "partner_token = \"u\"\nmode = \"single_auth_token\"\nprovider_id = \"{provider_id}\"",
            "only {provider} is replaced",
        ),
        (
            "partner_token = { signing_key = \"k\", issuer = \"{provider}\", audience = \"a\", subject = \"s\" }",
            "must not contain {provider}",
        ),
        (
            "partner_token = { command = [\"{provider}\"] }",
            "has {provider} in its program",
        ),
        (
            "partner_token = { command = [\"x\", \"{provider}\"], file = \"f\" }",
            "needs exactly one of value, file, env and command",
        ),
        (
            "partner_token = \"u\"\n[[sdp.identities]]\nname = \"a\"\npartner_token = \"v\"",
            "'a' is used twice",
        ),
        (
            "partner_token = \"u\"\n[[sdp.identities]]\nname = \"default\"\npartner_token = \"v\"",
            "is the name of the identity of [sdp.auth]",
        ),
        (
            "partner_token = \"u\"\n[[sdp.identities]]\nname = \"a b\"\npartner_token = \"v\"",
            "expected letters, digits, - and _",
        ),
    ] {
        let problems = problems_of(&identity(keys));
        assert!(problems.contains(part), "{keys}\n{problems}");
    }
    let problems = problems_of("[[sdp.identities]]\nname = \"a\"\npartner_token = \"u\"");
    assert!(
        problems.contains("set it here or in [sdp.auth]"),
        "{problems}"
    );
}

#[test]
fn an_identity_that_takes_the_providers_name_and_names_none_is_warned_of() {
    let loaded = loaded_of(&identity(
        "partner_token = { command = [\"x\", \"{provider}\"] }",
    ));
    let warnings = loaded.warnings.join("\n");
    assert!(
        warnings.contains("sdp.identities.a.match is not set"),
        "{warnings}"
    );
}

#[test]
fn what_an_identity_logs_in_with_is_masked_and_its_command_is_not_run() {
    let keys = "match = [\"*\"]\npartner_token = { command = [\"no-such-program\", \"hunter2\", \"{provider}\"] }\n\
                [[sdp.identities]]\nname = \"b\"\npartner_token = \"hunter2\"";
    let loaded = loaded_of(&identity(keys));
    let (effective, debug) = (loaded.effective.to_string(), format!("{:?}", loaded.config));
    assert!(
        !effective.contains("hunter2") && !debug.contains("hunter2"),
        "{effective}\n{debug}"
    );
    assert!(
        effective.contains(
            "partner_token = \"[redacted]\" # command no-such-program, for each provider"
        ),
        "{effective}"
    );
}

#[test]
fn variables_change_an_identity_by_its_name_and_make_one_where_there_is_none() {
    let toml = identity("partner_token = \"old\"");
    let setup = Setup::toml(&toml);
    let file = setup.file("token", "new\n").display().to_string();
    let identities = setup
        .env([
            SECRET,
            (
                "SUKI_RECEIVER__SDP__IDENTITIES__A__PARTNER_TOKEN_FILE",
                &file,
            ),
            ("SUKI_RECEIVER__SDP__IDENTITIES__B__PARTNER_TOKEN", "b"),
            ("SUKI_RECEIVER__SDP__IDENTITIES__B__MATCH", "x,y*"),
        ])
        .loaded()
        .config
        .sdp
        .identities;
    let [a, b] = &identities[..] else {
        panic!("{identities:?}");
    };
    let PartnerToken::Given(secret) = &a.auth.partner_token else {
        panic!("it is given");
    };
    assert_eq!(secret.expose(), "new");
    assert_eq!((b.name.as_str(), b.matches.len()), ("b", 2));
}
