//! `[[sinks]]`: the partner's own systems that results are delivered to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{Proxy, Retry, check, headers, odd};
use crate::config::reader::section::Section;
use crate::config::reader::setting::{Setting, Word};
use crate::config::reader::tree::Value;
use crate::config::reader::{NamedSecret, Secret};
use crate::domain::Outcome;

/// One place that results are delivered to.
#[derive(Debug, Clone)]
pub struct SinkConfig {
    /// Its name: in the API, the metrics and the logs. Unique; letters, digits, `-` and `_`.
    pub name: String,
    /// Outcomes that are delivered; all when not set.
    pub events: Vec<Outcome>,
    /// Whether it is told of alerts as well, or alone.
    pub alerts: bool,
    /// Whether it is told of each synthetic notification that came through.
    pub canary: bool,
    /// What is delivered.
    pub include: Include,
    /// Most deliveries at once.
    pub max_concurrency: usize,
    /// How soon its target should confirm that it applied what was delivered. `None`: no confirmation is waited for.
    pub expect_applied: Option<Duration>,
    /// How failures are tried again (`retry = { initial, max, give_up_after }`).
    pub retry: Retry,
    /// Where to.
    pub target: SinkTarget,
}

/// What a delivery holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// `["notification", "resources"]`: all, clinical content included.
    Everything,
    /// `["notification"]`: the notification as received, and nothing that was fetched.
    NotificationOnly,
}

/// The kinds of sink.
#[derive(Debug, Clone)]
pub enum SinkTarget {
    /// `type = "files"`.
    Files(FilesConfig),
    /// `type = "http"`.
    Http(HttpConfig),
}

/// Files below a folder.
#[derive(Debug, Clone)]
pub struct FilesConfig {
    /// The folder; made at start.
    pub dir: PathBuf,
}

/// POSTs to an address, signed as Standard Webhooks.
#[derive(Clone)]
pub struct HttpConfig {
    /// The address.
    pub url: Url,
    /// Signing secrets (`secret`, or `secrets` during a rotation: one signature each, the newest first).
    pub secrets: Vec<NamedSecret>,
    /// Further headers; the values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// Deadline of one delivery.
    pub timeout: Duration,
    /// Further trusted certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// The proxy through which it is reached.
    pub proxy: Proxy,
    /// What makes the body of the CloudEvent; the CloudEvent itself where there is none.
    pub template: Option<Box<Template>>,
}

/// A template for bodies (minijinja), and what they are.
#[derive(Debug, Clone)]
pub struct Template {
    /// The file that holds it, read when the sink is set up.
    pub file: PathBuf,
    /// The bodies' `Content-Type`.
    pub content_type: String,
}

impl SinkConfig {
    /// Reads `[[sinks]]`.
    pub(super) fn read_all(root: &mut Section<'_>, proxy: &Proxy) -> Vec<Self> {
        let sinks = root.list("sinks", |section| Self::read(section, proxy));
        root.note_empty("sinks", &sinks);
        let names = sinks.iter().map(|sink| sink.name.as_str());
        root.expect("sinks", check::unique(names));
        sinks
    }

    fn read(section: &mut Section<'_>, proxy: &Proxy) -> Option<Self> {
        let name = section.required("name", "use letters, digits, - and _", |name: &String| {
            sink_name(name)
        });
        let kind = section.required("type", "use files or http", |_| Ok(()));
        let Subscribed {
            events,
            alerts,
            canary,
        } = section.get("events", Subscribed::default());
        let include = section.get("include", Include::Everything);
        let max_concurrency = section.checked("max_concurrency", 64, check::count);
        let expect_applied: Option<Duration> = section.get("expect_applied", None);
        let target = match kind {
            Some(Kind::Files) => FilesConfig::read(section).map(SinkTarget::Files),
            Some(Kind::Http) => HttpConfig::read(section, proxy).map(SinkTarget::Http),
            None => None,
        };
        let retry = section.section("retry", |retry| Retry::read(retry, Retry::default()));
        if kind.is_none() {
            // Which keys are known is not known either.
            section.take_rest();
        }
        Some(Self {
            name: name?,
            events,
            alerts,
            canary,
            include,
            max_concurrency,
            expect_applied,
            retry,
            target: target?,
        })
    }
}

/// What a sink takes: outcomes of sessions, alerts, word of the synthetic notification.
struct Subscribed {
    events: Vec<Outcome>,
    alerts: bool,
    canary: bool,
}

const ALERTS: &str = "alerts";
const CANARY: &str = "canary";

impl Default for Subscribed {
    fn default() -> Self {
        Self {
            events: Outcome::ALL.to_vec(),
            alerts: false,
            canary: false,
        }
    }
}

impl Setting for Subscribed {
    fn parse(value: &Value) -> Result<Self, String> {
        let words = Vec::<String>::parse(value)?;
        if words.is_empty() {
            return Err(
                "is empty, so nothing would be delivered; name an outcome or remove the key"
                    .to_owned(),
            );
        }
        let mut subscribed = Self {
            events: Vec::new(),
            alerts: false,
            canary: false,
        };
        for word in words {
            match word.as_str() {
                ALERTS => subscribed.alerts = true,
                CANARY => subscribed.canary = true,
                outcome => match outcome.parse() {
                    Ok(outcome) => subscribed.events.push(outcome),
                    Err(_) => {
                        let outcomes = Outcome::ALL.map(Outcome::as_str).join(", ");
                        return Err(format!(
                            "unknown event '{outcome}'; expected one of {outcomes}, {ALERTS}, {CANARY}"
                        ));
                    }
                },
            }
        }
        Ok(subscribed)
    }

    fn show(&self) -> String {
        let mut words: Vec<String> = self
            .events
            .iter()
            .map(|it| it.as_str().to_owned())
            .collect();
        if self.alerts {
            words.push(ALERTS.to_owned());
        }
        if self.canary {
            words.push(CANARY.to_owned());
        }
        words.show()
    }
}

/// Shows the address without its query, which may hold a token.
impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("url", &self.url.show())
            .field("secrets", &self.secrets)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl FilesConfig {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let dir = section.required("dir", "name the folder", |_| Ok(()))?;
        Some(Self { dir })
    }
}

impl HttpConfig {
    fn read(section: &mut Section<'_>, shared: &Proxy) -> Option<Self> {
        let url = section.required("url", "name the address", check::http_url);
        let timeout = section.checked("timeout", Duration::from_secs(30), check::not_zero);
        let ca_file = section.get("ca_file", None);
        let proxy = Proxy::read(section, shared);
        let secret = section.secret("secret").map(|secret| NamedSecret {
            id: SINGLE_SECRET.to_owned(),
            secret,
        });
        let listed = section.named_secrets("secrets");
        let headers = section.section("headers", headers::read);
        let template = Template::read(section).map(Box::new);
        let secrets: Vec<_> = secret.into_iter().chain(listed).collect();
        let ids = secrets.iter().map(|secret| secret.id.as_str());
        section.expect("secrets", check::unique(ids));
        for NamedSecret { id, secret } in &secrets {
            let key = match id.as_str() {
                SINGLE_SECRET => "secret".to_owned(),
                id => format!("secrets.{id}"),
            };
            section.expect(&key, odd::webhook(secret));
        }
        if url.as_ref().is_some_and(check::is_in_the_clear) {
            let key = section.path_of("url");
            section.warn(format!(
                "{key} is http to another machine: what is delivered travels in the clear; use https"
            ));
        }
        Some(Self {
            url: url?,
            secrets,
            headers,
            timeout,
            ca_file,
            proxy,
            template,
        })
    }
}

impl Template {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let file: Option<PathBuf> = section.get("template", None);
        let content_type: Option<String> = section.get("content_type", None);
        if file.is_none() && content_type.is_some() {
            section.problem(
                "content_type",
                "is of no use without a template; remove it, or give one",
            );
        }
        Some(Self {
            file: file?,
            content_type: content_type.unwrap_or_else(|| "application/json".to_owned()),
        })
    }
}

/// The id of the secret that is given as `secret`.
const SINGLE_SECRET: &str = "default";

/// The words for [`SinkTarget`].
#[derive(Clone, Copy)]
enum Kind {
    Files,
    Http,
}

impl Word for Kind {
    const ALL: &'static [Self] = &[Self::Files, Self::Http];

    fn word(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Http => "http",
        }
    }
}

impl Include {
    const NOTIFICATION: &'static str = "notification";
    const RESOURCES: &'static str = "resources";
}

impl Setting for Include {
    fn parse(value: &Value) -> Result<Self, String> {
        let mut parts = Vec::<String>::parse(value)?;
        parts.sort_unstable();
        match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [Self::NOTIFICATION] => Ok(Self::NotificationOnly),
            [Self::NOTIFICATION, Self::RESOURCES] => Ok(Self::Everything),
            _ => Err(format!(
                "{} is not allowed; use [\"notification\"] or [\"notification\", \"resources\"]",
                parts.show()
            )),
        }
    }

    fn show(&self) -> String {
        let parts: &[&str] = match self {
            Self::Everything => &[Self::NOTIFICATION, Self::RESOURCES],
            Self::NotificationOnly => &[Self::NOTIFICATION],
        };
        parts
            .iter()
            .map(|part| (*part).to_owned())
            .collect::<Vec<_>>()
            .show()
    }
}

fn sink_name(name: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    check::ensure(!name.is_empty() && name.chars().all(is_allowed), || {
        format!("invalid sink name '{name}'; expected letters, digits, - and _")
    })
}
