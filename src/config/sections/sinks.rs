//! `[[sinks]]`: the partner's systems to which results are delivered.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{Proxy, Retry, check, headers, odd};
use crate::config::reader::dump::quoted;
use crate::config::reader::section::Section;
use crate::config::reader::setting::{Setting, Word};
use crate::config::reader::tree::Value;
use crate::config::reader::{NamedSecret, Secret};
use crate::domain::Outcome;

/// A sink, to which results are delivered.
#[derive(Debug, Clone)]
pub struct SinkConfig {
    /// The name in the API, metrics and logs. It is unique and has letters, digits, `-` and `_`.
    pub name: String,
    /// The outcomes that are delivered; all if not set.
    pub events: Vec<Outcome>,
    /// Whether the sink gets alerts, in addition to outcomes or alone.
    pub alerts: bool,
    /// Whether the sink is told of each synthetic notification that was answered.
    pub canary: bool,
    /// The contents of each delivery.
    pub include: Include,
    /// The limit of concurrent deliveries.
    pub max_concurrency: usize,
    /// The time within which the target should confirm that it applied a delivered event. `None`: no confirmation is
    /// expected.
    pub expect_applied: Option<Duration>,
    /// The retry policy (`retry = { initial, max, give_up_after }`).
    pub retry: Retry,
    /// The kind of sink and its target.
    pub target: SinkTarget,
}

/// The contents of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// `["notification", "resources"]`: everything, including clinical content.
    Everything,
    /// `["notification"]`: the notification as received, without fetched content.
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

/// Writes files below a folder.
#[derive(Debug, Clone)]
pub struct FilesConfig {
    /// The folder, which is created at the start.
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
    /// The deadline of one delivery.
    pub timeout: Duration,
    /// Further trusted certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// The proxy through which the target is reached.
    pub proxy: Proxy,
    /// The template that makes the body from the CloudEvent. Without one the body is the CloudEvent.
    pub template: Option<Box<Template>>,
}

/// A template for bodies (minijinja), with their media type.
#[derive(Debug, Clone)]
pub struct Template {
    /// The template's file, which is read when the sink is set up.
    pub file: PathBuf,
    /// The bodies' `Content-Type`.
    pub content_type: String,
}

impl SinkConfig {
    /// Whether it takes events, and not only alerts or the canary.
    pub fn takes_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The names of the sinks that take events.
    pub fn names_for_events<'s>(sinks: impl IntoIterator<Item = &'s Self>) -> Vec<String> {
        let sinks = sinks.into_iter().filter(|sink| sink.takes_events());
        sinks.map(|sink| sink.name.clone()).collect()
    }

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
            // Without a type the known keys are not known either, so none is reported as unknown.
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

/// The events that a sink takes: outcomes of sessions, alerts, synthetic notifications.
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
                        let outcomes: Vec<_> = Outcome::ALL.iter().map(|it| it.as_str()).collect();
                        let outcomes = outcomes.join(", ");
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

/// Shows the address without its query, which may contain a token.
impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("url", &SinkUrl(self.url.clone()).show())
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
        let check = |url: &SinkUrl| check::http_url(&url.0);
        let url = section.required("url", "name the address", check);
        let url = url.map(|SinkUrl(url)| url);
        let timeout = section.checked("timeout", Duration::from_secs(30), check::not_zero);
        let ca_file = section.get("ca_file", None);
        let proxy = Proxy::read(section, shared);
        let template = Template::read(section).map(Box::new);
        let secret = section.secret("secret").map(|secret| NamedSecret {
            id: SINGLE_SECRET.to_owned(),
            secret,
        });
        // The tables come last: a key that is shown after one would belong to it.
        let listed = section.named_secrets("secrets");
        let headers = section.section("headers", headers::read);
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

/// The address of a sink. The whole path may be a key, as that of a chat's incoming webhook is.
struct SinkUrl(Url);

impl Setting for SinkUrl {
    fn parse(value: &Value) -> Result<Self, String> {
        <Url as Setting>::parse(value).map(Self)
    }

    /// Shows the address without its path and query.
    fn show(&self) -> String {
        let mut shown = self.0.clone();
        shown.set_query(None);
        if self.0.query().is_some() || !matches!(self.0.path(), "" | "/") {
            shown.set_path("[redacted]");
        }
        quoted(shown.as_str())
    }

    fn hidden(&self) -> Option<String> {
        self.0.hidden()
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

/// The id of a secret that is given as `secret`.
const SINGLE_SECRET: &str = "default";

/// The names of [`SinkTarget`] in the configuration.
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
