//! The page of the service itself: its parts, its version, its configuration.

use axum::extract::State as Shared;
use maud::{Markup, html};

use super::frame::Frame;
use super::page::Page;
use super::problem::Problem;
use super::visitor::Visitor;
use super::{State, time, ui};
use crate::lifecycle::Component;

/// The parts whose health is shown.
const PARTS: [(Component, &str); 8] = [
    (Component::Store, "The store accepts writes"),
    (Component::Spool, "The spool is not in use"),
    (Component::Damage, "No damaged store was moved aside"),
    (
        Component::Sdp,
        "Suki's API can be reached, and the login succeeds",
    ),
    (Component::Sinks, "A sink for sessions is configured"),
    (
        Component::Orphans,
        "No delivery waits for a sink that is not configured",
    ),
    (Component::Push, "Notifications arrive as expected"),
    (Component::Certificate, "No certificate expires soon"),
];

/// `GET /system`.
pub(super) async fn show(Shared(state): Shared<State>, visitor: Visitor) -> Result<Page, Problem> {
    let content = content(&state, &visitor);
    let frame = Frame::live(&state, &visitor, "/system", "System");
    Ok(frame.page(&content).await)
}

fn content(state: &State, visitor: &Visitor) -> Markup {
    let (about, readiness) = (&state.about, &state.admin.readiness);
    let now = state.admin.clock.now();
    html! {
        h1 { "System" }
        section #parts data-refresh {
            h2 { "Parts" }
            ul.parts {
                @for (part, words) in PARTS {
                    @let is_well = readiness.is_healthy(part);
                    li {
                        (ui::badge(
                            if is_well { ui::Tone::Good } else { ui::Tone::Bad },
                            if is_well { "healthy" } else { "not healthy" },
                        ))
                        span { (words) }
                    }
                }
            }
        }
        section {
            h2 { "This instance" }
            dl.facts.wide {
                dt { "Name" } dd { (about.instance) }
                dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) }
                dt { "Running since" }
                dd { (time::exact(about.since, &visitor.zone)) " (" (time::distance(about.since, now)) ")" }
                dt { "Store" } dd { (about.store) }
                dt { "Webhook" } dd { code { (about.webhook_path) } }
                dt { "Clients of the stream" } dd { (state.admin.watchers.count()) }
            }
        }
        section {
            h2 { "More" }
            ul {
                li { a href="/reference" { "The admin API" } ", described call by call" }
                li { a href="/metrics" { "Metrics" } " for Prometheus" }
                li { a href="/readyz" { "Readiness" } " as a load balancer sees it" }
            }
        }
        section {
            h2 { "Configuration" }
            p.hint {
                "The configuration at the start, with the source of each value and every secret masked. Secrets, "
                "tokens and certificates are reloaded by " code { "SIGHUP" } "; every other change needs a restart."
            }
            @if visitor.is_operator() {
                pre.configuration tabindex="0" role="region" aria-label="Configuration" { code { (about.configuration) } }
            } @else {
                p.hint { "The configuration is shown only to the role operator." }
            }
        }
    }
}
