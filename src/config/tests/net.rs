//! The proxy that is used for each call.

use super::super::{Config, Env, Proxy, Secret, SinkTarget};
use super::{SECRET, Setup, loaded_of, problems_of};

const SINKS: &str = "[[sinks]]\nname = \"a\"\ntype = \"http\"\nurl = \"https://a.example\"\n";

fn config(toml: &str, variables: &[(&str, &str)]) -> Config {
    let mut setup = Setup::toml(toml);
    setup.options.env = Env::from_iter(variables.iter().copied().chain([SECRET]));
    setup.loaded().config
}

fn shown(proxy: &Proxy) -> String {
    match proxy {
        Proxy::None => "none".to_owned(),
        Proxy::Via(via) => {
            let credentials = via.credentials.as_ref().map_or("", Secret::expose);
            format!("{} {credentials} {}", via.url, via.no_proxy)
        }
    }
}

#[test]
fn the_environment_is_the_default_and_the_lower_case_form_comes_first() {
    for (variables, expected) in [
        (&[][..], "none"),
        (&[("HTTPS_PROXY", "http://p:3128")][..], "http://p:3128/  "),
        (
            &[("https_proxy", "p:3128"), ("HTTPS_PROXY", "http://q")],
            "http://p:3128/  ",
        ),
        (&[("HTTPS_PROXY", ""), ("NO_PROXY", "x")], "none"),
        (
            &[
                ("HTTPS_PROXY", "http://me:p%40ss@p:3128/"),
                ("NO_PROXY", ".local,10.0.0.0/8"),
            ],
            "http://p:3128/ me:p@ss .local,10.0.0.0/8",
        ),
        (
            &[
                ("HTTP_PROXY", "http://p:3128"),
                ("ALL_PROXY", "http://p:3128"),
            ],
            "none",
        ),
    ] {
        let config = config("", variables);
        assert_eq!(shown(&config.net.proxy), expected, "{variables:?}");
        assert_eq!(shown(&config.sdp.proxy), expected);
    }
}

#[test]
fn sdp_and_sinks_have_a_proxy_of_their_own_or_the_shared_one() {
    let toml = format!(
        "net.proxy = \"http://shared:1\"\nnet.proxy_credentials = \"u:p\"\nsdp.proxy = \"none\"\n{SINKS}\
         [[sinks]]\nname = \"b\"\ntype = \"http\"\nurl = \"https://b.example\"\nproxy = \"https://own:2\"\n"
    );
    let config = config(&toml, &[("HTTPS_PROXY", "http://unused:3")]);
    assert_eq!(shown(&config.net.proxy), "http://shared:1/ u:p ");
    assert_eq!(shown(&config.sdp.proxy), "none");
    let of_sink = |at: usize| match &config.sinks[at].target {
        SinkTarget::Http(http) => shown(&http.proxy),
        SinkTarget::Files(_) => unreachable!("both are of type http"),
    };
    assert_eq!(of_sink(0), "http://shared:1/ u:p ");
    assert_eq!(of_sink(1), "https://own:2/  ");
}

#[test]
fn what_is_no_proxy_is_refused_and_nothing_secret_is_shown() {
    for (toml, part) in [
        (
            "net.proxy = \"http://user:hunter2@p\"",
            "belong into proxy_credentials",
        ),
        ("net.proxy = \"socks5://p:1080\"", "expected http or https"),
        (
            "net.proxy = \"proxy\"",
            "use \"env\", \"none\" or an address",
        ),
        (
            "net.proxy = \"http://p:1/path\"",
            "all of a proxy's address",
        ),
    ] {
        let problems = problems_of(toml);
        assert!(problems.contains(part), "{toml}\n{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn credentials_are_for_whichever_proxy_is_in_effect_and_warned_of_where_there_is_none() {
    let toml = "net.proxy_credentials = \"u:p\"\nsdp.proxy_credentials = \"v:q\"\n";
    let found = config(toml, &[("HTTPS_PROXY", "http://p:3128")]);
    assert_eq!(shown(&found.net.proxy), "http://p:3128/ u:p ");
    assert_eq!(shown(&found.sdp.proxy), "http://p:3128/ v:q ");
    for (toml, part) in [
        (toml, "net.proxy_credentials is not used"),
        (
            "net.proxy = \"http://p:1\"\nnet.proxy_credentials = \"hunter2\"",
            "net.proxy_credentials has no colon",
        ),
    ] {
        let warnings = loaded_of(toml).warnings.join("\n");
        assert!(
            warnings.contains(part) && !warnings.contains("hunter2"),
            "{warnings}"
        );
    }
}
