//! `[net]`: the proxy for outgoing calls. `[sdp]` and each sink of type http also have `proxy` and `proxy_credentials`.

use percent_encoding::percent_decode_str;
use url::Url;

use super::check;
use crate::config::reader::Secret;
use crate::config::reader::section::Section;
use crate::config::reader::setting::Setting;
use crate::config::reader::tree::Value;

/// Settings that all outgoing calls share.
#[derive(Debug, Clone, Default)]
pub struct Net {
    /// The proxy to use if a section sets no other.
    pub proxy: Proxy,
}

/// Whether outgoing calls to https addresses go through a proxy (by CONNECT). Those to http addresses never do.
#[derive(Debug, Clone, Default)]
pub enum Proxy {
    /// Calls go directly.
    #[default]
    None,
    /// Calls go through this proxy.
    Via(Box<Via>),
}

/// A proxy.
#[derive(Debug, Clone)]
pub struct Via {
    /// Its address, without credentials.
    pub url: Url,
    /// `user:password`.
    pub credentials: Option<Secret>,
    /// Hosts that are reached without it, as in `NO_PROXY`; empty for none.
    pub no_proxy: String,
}

/// The values that `proxy` can have.
#[derive(Debug, Clone)]
enum Written {
    Env,
    None,
    Address(Url),
}

impl Setting for Written {
    fn parse(value: &Value) -> Result<Self, String> {
        match value.text()? {
            "env" => Ok(Self::Env),
            "none" => Ok(Self::None),
            // The text is not shown, because it may contain credentials.
            text => address(text).map(Self::Address).map_err(|why| {
                format!(
                    "{why}; use \"env\", \"none\" or an address such as http://proxy.example:3128"
                )
            }),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Env => "env".to_owned().show(),
            Self::None => "none".to_owned().show(),
            Self::Address(url) => url.show(),
        }
    }

    fn hidden(&self) -> Option<String> {
        match self {
            Self::Env | Self::None => None,
            Self::Address(url) => url.hidden(),
        }
    }
}

impl Net {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let written = section.get("proxy", Written::Env);
        Self {
            proxy: Proxy::of(section, Some(written), &Proxy::None),
        }
    }
}

impl Proxy {
    /// Reads the proxy keys of a section; `shared` is the proxy of `[net]`, which applies if the section sets none.
    pub(super) fn read(section: &mut Section<'_>, shared: &Self) -> Self {
        let written = section.get("proxy", None);
        Self::of(section, written, shared)
    }

    fn of(section: &mut Section<'_>, written: Option<Written>, shared: &Self) -> Self {
        let own = section.secret(CREDENTIALS);
        if own
            .as_ref()
            .is_some_and(|secret| !secret.expose().contains(':'))
        {
            let key = section.path_of(CREDENTIALS);
            section.warn(format!(
                "{key} has no colon and is taken for a user without a password; write it as user:password"
            ));
        }
        let mut proxy = match written {
            Some(Written::Address(url)) => Self::Via(Box::new(Via {
                url,
                credentials: None,
                no_proxy: String::new(),
            })),
            Some(Written::None) => Self::None,
            Some(Written::Env) => Self::of_env(section),
            None => shared.clone(),
        };
        match (&mut proxy, own) {
            (Self::Via(via), Some(own)) => via.credentials = Some(own),
            (Self::None, Some(_)) => {
                let key = section.path_of(CREDENTIALS);
                section.warn(format!(
                    "{key} is not used: there is no proxy to use it with"
                ));
            }
            (_, None) => {}
        }
        proxy
    }

    /// The proxy of `HTTPS_PROXY`, except for the hosts in `NO_PROXY`. For both variables the lower-case name comes
    /// first.
    fn of_env(section: &mut Section<'_>) -> Self {
        let Some((name, text)) = variable(section, ["https_proxy", "HTTPS_PROXY"]) else {
            return Self::None;
        };
        let no_proxy = variable(section, ["no_proxy", "NO_PROXY"]).map(|(_, value)| value);
        // By convention the scheme may be left out.
        let text = if text.contains("://") {
            text
        } else {
            format!("http://{text}")
        };
        let found = Url::parse(&text)
            .map_err(|error| format!("invalid address ({error})"))
            .and_then(|mut url| {
                let credentials = take_credentials(&mut url);
                is_proxy(&url).map(|()| (url, credentials))
            });
        match found {
            Ok((url, credentials)) => Self::Via(Box::new(Via {
                url,
                credentials,
                no_proxy: no_proxy.unwrap_or_default(),
            })),
            Err(why) => {
                let why = format!(
                    "the variable {name} {why}; correct it, or set net.proxy to an address or \"none\""
                );
                section.problem("proxy", why);
                Self::None
            }
        }
    }
}

const CREDENTIALS: &str = "proxy_credentials";

fn variable(section: &Section<'_>, names: [&'static str; 2]) -> Option<(&'static str, String)> {
    names.into_iter().find_map(|name| {
        let value = section.reader.env.get(name).ok().flatten()?.trim();
        (!value.is_empty()).then(|| (name, value.to_owned()))
    })
}

fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("invalid address ({error})"))?;
    is_proxy(&url).map(|()| url)
}

fn is_proxy(url: &Url) -> Result<(), String> {
    check::http_url(url).map_err(|why| why.replace("a secret key", CREDENTIALS))?;
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.host().is_some();
    check::ensure(is_bare, || {
        "is more than a host and a port, which is all of a proxy's address".to_owned()
    })
}

/// Removes user and password from an address, and returns them.
fn take_credentials(url: &mut Url) -> Option<Secret> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (
        decoded(url.username()),
        decoded(url.password().unwrap_or_default()),
    );
    url.set_username("").ok();
    url.set_password(None).ok();
    Some(Secret::literal(format!("{user}:{password}")))
}
