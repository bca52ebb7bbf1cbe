//! The frame around every page: the navigation, the health of the service, and the visitor's menu.

use maud::{DOCTYPE, Markup, html};

use super::page::{Page, head};
use super::visitor::{Theme, Visitor};
use super::{State, ui};
use crate::domain::EventState;
use crate::lifecycle::Report;

/// The pages in the navigation: path, name, the key that opens the page after `g`, and whether it is only for
/// operators.
const PLACES: [(&str, &str, &str, bool); 8] = [
    ("/", "Overview", "o", false),
    ("/attention", "Needs attention", "a", false),
    ("/events", "Events", "e", false),
    ("/expected", "Expected sessions", "x", false),
    ("/replays", "Replay jobs", "r", false),
    ("/dependencies", "Sinks and Suki", "d", false),
    ("/audit", "Audit", "u", true),
    ("/system", "System", "s", false),
];

/// The time zones to choose from. The script, if it runs, adds the browser's own zone.
const ZONES: [&str; 11] = [
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/Anchorage",
    "Pacific/Honolulu",
    "Europe/London",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Sydney",
];

/// A page of the console.
pub(super) struct Frame<'a> {
    pub(super) state: &'a State,
    pub(super) visitor: &'a Visitor,
    /// The path of the page that is marked in the navigation.
    pub(super) place: &'static str,
    pub(super) title: &'static str,
    /// Whether the page refreshes itself.
    pub(super) is_live: bool,
}

impl<'a> Frame<'a> {
    /// The frame of a page that refreshes itself.
    pub(super) fn live(
        state: &'a State,
        visitor: &'a Visitor,
        place: &'static str,
        title: &'static str,
    ) -> Self {
        Self {
            state,
            visitor,
            place,
            title,
            is_live: true,
        }
    }

    /// The page with this content.
    pub(super) async fn page(&self, content: &Markup) -> Page {
        let stats = self.state.admin.records().stats().await;
        let waiting = stats.map(|stats| {
            stats.count(EventState::Dead) + stats.count(EventState::Quarantined) + stats.rejected
        });
        let report = self.state.admin.readiness.report();
        let body = html! {
            (navigation(self.visitor, self.place, waiting.unwrap_or(0), &self.state.about.label))
            div.side {
                header.top {
                    (search())
                    div.tools {
                        @if self.is_live { (live()) }
                        (preferences(self.visitor))
                    }
                }
                (status(&report))
                main #main tabindex="-1" {
                    (said(self.visitor))
                    (content)
                }
                (footer(self.visitor, &self.state.about.instance))
            }
            (keys())
        };
        let idle = self.state.sessions.idle_timeout().as_secs();
        Page(whole(
            self.visitor,
            self.title,
            (self.is_live, Some(idle)),
            &body,
        ))
    }
}

/// A page without the parts that need the store.
pub(super) fn plain(visitor: &Visitor, title: &str, content: &Markup) -> Markup {
    let body = html! {
        (navigation(visitor, "", 0, ""))
        div.side { main #main tabindex="-1" { (content) } }
    };
    whole(visitor, title, (false, None), &body)
}

fn whole(
    visitor: &Visitor,
    title: &str,
    (is_live, idle): (bool, Option<u64>),
    body: &Markup,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=(visitor.theme.as_str()) {
            head { (head(title)) }
            body data-live[is_live] data-idle=[idle] {
                a.skip href="#main" { "Skip to content" }
                (body)
                div #leaving .leaving role="alert" hidden {
                    span { "You will be signed out soon, because you have been inactive." }
                    button #stay type="button" { "Stay signed in" }
                }
            }
        }
    }
}

fn navigation(visitor: &Visitor, place: &str, waiting: u64, label: &str) -> Markup {
    html! {
        div.bar {
            a.brand href="/" { (ui::logo()) span { "suki-receiver" } }
            @if !label.is_empty() { span.label { (label) } }
            nav aria-label="Console" {
                ul {
                    @for (path, name, key, is_restricted) in PLACES {
                        @if !is_restricted || visitor.is_operator() {
                            li {
                                a href=(path) data-key=(key) aria-current=[(path == place).then_some("page")] {
                                    (name)
                                    @if path == "/attention" {
                                        span #waiting .count .some[waiting > 0] data-refresh {
                                            @if waiting > 0 { (ui::number(waiting)) span.unseen { " waiting" } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn search() -> Markup {
    html! {
        form.search role="search" action="/go" method="get" {
            (ui::icon("search"))
            label.unseen for="q" { "Event, session or encounter id" }
            input #q type="search" name="q" placeholder="Paste an event, session or encounter id" autocomplete="off"
                spellcheck="false" maxlength="600";
            kbd { "/" }
        }
    }
}

fn live() -> Markup {
    html! {
        div.live hidden {
            span #live-word role="status" { "live" }
            button #pause type="button" aria-pressed="false" { (ui::icon("pause")) span { "Pause" } }
        }
    }
}

fn preferences(visitor: &Visitor) -> Markup {
    let is_other = !visitor.zone_name.is_empty() && !ZONES.contains(&visitor.zone_name.as_str());
    html! {
        details.preferences {
            summary.button {
                span { (visitor.caller.name) }
                span.role { (visitor.caller.role.as_str()) }
            }
            div.sheet {
                form method="post" action="/preferences" {
                    input type="hidden" name="back" value=(visitor.path);
                    label for="zone" { "Time zone" }
                    select #zone name="zone" {
                        option value="" selected[visitor.zone_name.is_empty()] { "UTC" }
                        @if is_other { option value=(visitor.zone_name) selected { (visitor.zone_name) } }
                        @for zone in ZONES {
                            option value=(zone) selected[zone == visitor.zone_name] { (zone) }
                        }
                    }
                    label for="theme" { "Colours" }
                    select #theme name="theme" {
                        @for theme in Theme::ALL {
                            option value=(theme.as_str()) selected[theme == visitor.theme] {
                                @match theme {
                                    Theme::Auto => "As the system",
                                    Theme::Light => "Light",
                                    Theme::Dark => "Dark",
                                }
                            }
                        }
                    }
                    button type="submit" { "Apply" }
                }
                form method="post" action="/sign-out" { button type="submit" { "Sign out" } }
            }
        }
    }
}

/// The health of the service, with the reasons.
fn status(report: &Report) -> Markup {
    let (class, icon, word) = match report.word() {
        "ready" if report.notes.is_empty() => ("good", "check", "Notifications are accepted."),
        "ready" => (
            "good",
            "check",
            "Notifications are accepted; see the notes.",
        ),
        "degraded" => (
            "warn",
            "alert",
            "Notifications are accepted, but not every part is healthy.",
        ),
        _ => ("bad", "cross", "Notifications are not accepted."),
    };
    html! {
        section #status class={ "status " (class) } aria-label="State of the service" data-refresh {
            p { (ui::icon(icon)) strong { (word) } }
            @if !report.failing.is_empty() || !report.notes.is_empty() {
                ul {
                    @for line in report.failing.iter().chain(&report.notes) { li { (line) } }
                }
            }
        }
    }
}

/// The confirmation of the action that was just performed, which a word in the address names.
fn said(visitor: &Visitor) -> Markup {
    let (_, query) = visitor.path.split_once('?').unwrap_or_default();
    let words = match super::sign_in::field(query.as_bytes(), "said").as_deref() {
        Some("replayed") => "The replay is scheduled. This page shows its progress.",
        Some("requeued") => "The event is processed as a notification.",
        Some("purged") => "Its content is removed. Its receipt stays.",
        Some("started") => "The job has started.",
        Some("cancelled") => "The job is stopped. Replays that are scheduled already still run.",
        Some("asked") => "The session is polled now.",
        Some("refetched") => "The content is fetched again, and delivered if it has changed.",
        Some("withdrawn") => "The session is not expected any more.",
        Some("added") => "The session is registered.",
        Some("noted") => "The note is saved.",
        Some("paused") => "Nothing is delivered to the sink until it is resumed.",
        Some("resumed") => "The waiting deliveries to the sink are made now.",
        Some("dropped") => "The deliveries that the sink has not received are dropped.",
        Some("readdressed") => {
            "The deliveries that the sink has not received are assigned to the other sink."
        }
        _ => return html! {},
    };
    html! { p.said role="status" { (ui::icon("check")) (words) } }
}

fn footer(visitor: &Visitor, instance: &str) -> Markup {
    let zone = match visitor.zone_name.as_str() {
        "" => "UTC",
        zone => zone,
    };
    html! {
        footer {
            span { "suki-receiver " (env!("CARGO_PKG_VERSION")) }
            span { "instance " (instance) }
            span { "times in " (zone) }
        }
    }
}

/// The list of keyboard shortcuts, shown by `?`.
fn keys() -> Markup {
    html! {
        dialog #keys aria-labelledby="keys-title" {
            h2 #keys-title { "Keyboard shortcuts" }
            dl {
                dt { kbd { "/" } } dd { "Search" }
                @for (_, name, key, _) in PLACES { dt { kbd { "g" } " " kbd { (key) } } dd { (name) } }
                dt { kbd { "p" } } dd { "Pause or resume the updates" }
                dt { kbd { "?" } } dd { "This list" }
            }
            form method="dialog" {
                label.check { input #keys-off type="checkbox"; "Turn these shortcuts off" }
                button { "Close" }
            }
        }
    }
}
