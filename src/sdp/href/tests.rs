//! Which links are followed, and which are refused.

use proptest::prelude::*;

use super::*;

fn hrefs() -> Hrefs {
    let base = Url::parse("https://sdp.suki.ai").expect("an address");
    Hrefs::new(
        base,
        vec![
            "storage.example.com".to_owned(),
            "127.0.0.1".to_owned(),
            "[::1]".to_owned(),
        ],
    )
}

#[test]
fn relative_and_absolute_links_to_the_api_are_followed() {
    for href in [
        "/api/v1/ambient/session/a/content",
        "api/v1/ambient/session/a/content",
        "https://sdp.suki.ai/api/v1/ambient/session/a/content",
        "https://sdp.suki.ai:443/api/v1/ambient/session/a/content",
    ] {
        let Ok(Target::Api(url)) = hrefs().resolve(href) else {
            panic!("{href} is refused")
        };
        assert_eq!(
            url.as_str(),
            "https://sdp.suki.ai/api/v1/ambient/session/a/content"
        );
    }
    let Ok(Target::Api(url)) = hrefs().resolve("/a/content?cumulative=true") else {
        panic!("refused")
    };
    assert_eq!(url.query(), Some("cumulative=true"));
}

#[test]
fn a_base_address_with_a_path_keeps_it() {
    let hrefs = Hrefs::new(
        Url::parse("https://gateway.example/suki/").expect("an address"),
        vec![],
    );
    let Ok(Target::Api(url)) = hrefs.resolve("/api/v1/x") else {
        panic!("refused")
    };
    assert_eq!(url.as_str(), "https://gateway.example/suki/api/v1/x");
    assert_eq!(
        hrefs.api("/api/v1/auth/login").as_ref().map(Url::as_str),
        Ok("https://gateway.example/suki/api/v1/auth/login")
    );
}

#[test]
fn other_hosts_are_refused_unless_allowed_and_then_get_no_token() {
    let refused = |href: &str| hrefs().resolve(href).expect_err(href);
    assert_eq!(refused("https://evil.example/x"), Refused::Host);
    assert_eq!(refused("//evil.example/x"), Refused::Host);
    assert_eq!(refused("\\\\evil.example/x"), Refused::Host);
    assert_eq!(refused("http://sdp.suki.ai:8080/x"), Refused::Host);
    assert_eq!(refused("https://sdp.suki.ai.evil.example/x"), Refused::Host);
    assert_eq!(
        refused("https://sdp.suki.ai@evil.example/x"),
        Refused::Credentials
    );
    assert_eq!(refused("http://storage.example.com/x"), Refused::Scheme);
    assert_eq!(refused("https://127.0.0.1/x"), Refused::PrivateAddress);
    assert_eq!(refused("https://[::1]/x"), Refused::PrivateAddress);
    assert_eq!(refused("file:///etc/passwd"), Refused::NotAnAddress);
    assert!(matches!(
        hrefs().resolve("https://storage.example.com/x"),
        Ok(Target::Elsewhere(_))
    ));
}

#[test]
fn ids_are_percent_encoded_in_built_paths() {
    let session = SessionId::new("a/../b?c").expect("an id");
    let encounter = EncounterId::new("visite-été 01").expect("an id");
    let links = standard_links(SessionKind::Ambient, &session, Some(&encounter));
    assert_eq!(
        links[0].href,
        "/api/v1/ambient/session/a%2F..%2Fb%3Fc/content"
    );
    assert_eq!(
        links[3].href,
        "/api/v1/ambient/encounter/visite-%C3%A9t%C3%A9%2001/content"
    );
}

#[test]
fn a_link_to_the_apis_own_host_by_http_is_taken_by_https() {
    for (base, href, expected) in [
        (
            "https://sdp.suki.ai",
            "http://sdp.suki.ai/x?a=1",
            "https://sdp.suki.ai/x?a=1",
        ),
        (
            "https://sdp.suki.ai",
            "HTTP://SDP.SUKI.AI:80/x",
            "https://sdp.suki.ai/x",
        ),
        (
            "https://sdp.suki.ai",
            "http://sdp.suki.ai:443/x",
            "https://sdp.suki.ai/x",
        ),
        (
            "https://gw.example:8443",
            "http://gw.example/x",
            "https://gw.example:8443/x",
        ),
        (
            "http://127.0.0.1:80",
            "http://127.0.0.1/x",
            "http://127.0.0.1/x",
        ),
    ] {
        let hrefs = Hrefs::new(Url::parse(base).expect("an address"), vec![]);
        let Ok(Target::Api(url)) = hrefs.resolve(href) else {
            panic!("{href} is refused")
        };
        assert_eq!(url.as_str(), expected);
    }
}

#[test]
fn what_would_lead_to_another_path_is_refused() {
    for href in [
        "/api/v1/ambient/session/../content",
        "/a/./b",
        "/a/%2e%2E/b",
        "/a/.%2e",
        "/a/.\t./b",
        "\\a\\..\\b",
        "https://sdp.suki.ai/a/../b?x",
        "..",
    ] {
        assert_eq!(hrefs().resolve(href), Err(Refused::DotSegment), "{href}");
    }
    for href in ["/a/b..c/.well-known?x=/../", "/a/...", "/a/%2F..%2Fb#/../"] {
        assert!(
            matches!(hrefs().resolve(href), Ok(Target::Api(_))),
            "{href}"
        );
    }
}

proptest! {
    #[test]
    fn a_built_link_has_the_segments_that_were_meant_or_is_refused(
        session in "(\\.{1,3}|[a-c./\\\\%?#;: é\t]{1,8})",
        encounter in "(\\.{1,3}|[a-c./%]{1,4})",
        base in "(/[a-z]{1,3}){0,2}/?",
    ) {
        let base = Url::parse(&format!("https://sdp.suki.ai{base}")).expect("an address");
        let hrefs = Hrefs::new(base.clone(), vec![]);
        let ids = SessionId::new(session).zip(EncounterId::new(encounter));
        let Some((session, encounter)) = ids else { return Ok(()) };
        let status = status_path(SessionKind::Ambient, &session).expect("a path");
        let mut built = vec![(hrefs.api(&status), session.as_str())];
        for link in standard_links(SessionKind::Ambient, &session, Some(&encounter)) {
            let is_encounters = link.group.as_str().starts_with("encounter");
            let id = if is_encounters { encounter.as_str() } else { session.as_str() };
            let url = hrefs.resolve(&link.href).map(|target| match target {
                Target::Api(url) | Target::Elsewhere(url) => url,
            });
            built.push((url, id));
        }
        let depth = |url: &Url| url.path().trim_end_matches('/').matches('/').count();
        for (url, id) in built {
            prop_assert_eq!(url.is_err(), matches!(id, "." | ".."), "{:?}", url);
            let Ok(url) = url else { continue };
            prop_assert_eq!(depth(&url), depth(&base) + 6);
            let segments: Vec<_> = url.path_segments().expect("segments").collect();
            let segment = percent_encoding::percent_decode_str(segments[segments.len() - 2]);
            prop_assert_eq!(segment.decode_utf8_lossy(), id);
        }
    }
}

proptest! {
    #[test]
    fn whatever_a_link_says_the_token_stays_at_home(href in "(https?:)?[/\\\\]{0,3}[a-z0-9.@:%\\[\\]-]{0,20}/?.{0,20}") {
        if let Ok(Target::Api(url)) = hrefs().resolve(&href) {
            prop_assert_eq!(url.origin(), Url::parse("https://sdp.suki.ai").expect("an address").origin());
        }
    }
}
