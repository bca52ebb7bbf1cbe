//! Checks the host name by which the console is called. Another site can make its own name resolve to this listener,
//! and a browser then treats the two as one site (DNS rebinding). So only names that are known to be the console's are
//! accepted.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::Host;

use super::problem::Problem;

/// Refuses requests for another host name. `known` are the configured names.
pub(super) async fn must_be_own(
    Shared(known): Shared<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    if !is_own(request.uri(), request.headers(), &known) {
        return Problem::misdirected().into_response();
    }
    next.run(request).await
}

/// Whether all host names in a request are the console's. A request without any does not come from a browser.
fn is_own(uri: &Uri, headers: &HeaderMap, known: &[String]) -> bool {
    let asked = uri.authority().map(|asked| is_known(asked, known));
    let mut hosts = headers.get_all(header::HOST).into_iter().map(|host| {
        let host = Authority::try_from(host.as_bytes());
        host.is_ok_and(|host| is_known(&host, known))
    });
    asked.unwrap_or(true) && hosts.all(|is_own| is_own)
}

/// Whether a host name is the console's. IP addresses and `localhost` are always accepted, since nobody can make them
/// resolve elsewhere.
fn is_known(asked: &Authority, known: &[String]) -> bool {
    match Host::parse(asked.host()) {
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        Ok(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(&name);
            let is_local = name == "localhost" || name.ends_with(".localhost");
            is_local || known.iter().any(|known| known == name)
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_own_and_no_others() {
        let known = ["suki-admin.example.org".to_owned()];
        for (host, is_known) in [
            ("127.0.0.1:9464", true),
            ("10.1.2.3", true),
            ("[::1]:9464", true),
            ("localhost:9464", true),
            ("LocalHost", true),
            ("a.localhost:1", true),
            ("suki-admin.example.org", true),
            ("SUKI-admin.example.org.:443", true),
            ("evil.example", false),
            ("suki-admin.example.org.evil.example", false),
            ("x.suki-admin.example.org", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1@evil.example", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            let uri = Uri::from_static("/");
            assert_eq!(super::is_own(&uri, &headers, &known), is_known, "{host}");
        }
    }

    #[test]
    fn each_name_that_a_request_gives_must_be_own() {
        let evil = HeaderValue::from_static("evil.example");
        let own = HeaderValue::from_static("localhost");
        let both = HeaderMap::from_iter([(header::HOST, own)]);
        let there = Uri::from_static("http://evil.example/");
        assert!(!super::is_own(&there, &both, &[]));
        let mut twice = both;
        twice.append(header::HOST, evil);
        assert!(!super::is_own(&Uri::from_static("/"), &twice, &[]));
        let none = HeaderMap::new();
        assert!(super::is_own(&Uri::from_static("/"), &none, &[]));
        assert!(super::is_own(
            &Uri::from_static("http://localhost/"),
            &none,
            &[]
        ));
    }
}
