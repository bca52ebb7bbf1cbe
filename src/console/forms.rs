//! The forms for actions on one event. Each says what will happen, and asks for a reason.

use maud::{Markup, html};

use super::visitor::Visitor;
use super::{State, ui};
use crate::domain::{EventId, EventState, LinkState};
use crate::journal::{EventDetail, LinkRecord, ReplayFrom, addressees};

/// The possible actions, each with its effect.
pub(super) fn actions(state: &State, visitor: &Visitor, detail: &EventDetail) -> Markup {
    let event = &detail.event;
    let path = |action: &str| format!("/events/{}/{action}", event.id);
    if !visitor.is_operator() {
        return html! {
            p.hint { "Replaying, purging and reading content need the role operator." }
        };
    }
    let has_content = !event.content_purged && event.state != EventState::Purged;
    let is_quarantined = event.state == EventState::Quarantined;
    let had = detail.sinks();
    let configured = &state.admin.event_sinks;
    let has_addressee = addressees(ReplayFrom::Deliver, &[], &had, configured).is_ok();
    html! {
        div.actions {
            @if !has_content {
                p.hint { "Its content is removed, so it cannot be replayed." }
            } @else if is_quarantined {
                (ui::action("Requeue…", false, &html! {
                    form method="post" action=(path("requeue")) {
                        p {
                            "The stored bytes are parsed again. If this version can read them, the event is retrieved "
                            "and delivered like any other."
                        }
                        button.primary type="submit" { "Requeue" }
                    }
                }))
                (reveal(&path("reveal"), &detail.links, true))
                (purge(&path("purge"), event.id))
            } @else {
                (ui::action("Replay…", false, &html! {
                    form method="post" action=(path("replay")) {
                        fieldset {
                            legend { "From where?" }
                            label.radio {
                                input type="radio" name="from" value="retrieve" checked;
                                span {
                                    strong { "Fetch again" }
                                    " all content from Suki, then deliver to every sink that wants the event."
                                }
                            }
                            label.radio {
                                input type="radio" name="from" value="deliver" disabled[!has_addressee && had.is_empty()];
                                span { strong { "Deliver again" } " the content that was fetched before, unchanged." }
                            }
                        }
                        @if !configured.is_empty() {
                            fieldset {
                                legend { "To which sinks? (select none for the sinks that the event had)" }
                                @for sink in configured.iter() {
                                    label.check { input type="checkbox" name="sink" value=(sink); (sink) }
                                }
                            }
                        }
                        p.hint { "The sinks get the event under the same id." }
                        (reason(false))
                        button.primary type="submit" { "Replay" }
                    }
                }))
                (reveal(&path("reveal"), &detail.links, false))
                (purge(&path("purge"), event.id))
            }
        }
    }
}

fn reveal(path: &str, links: &[LinkRecord], is_quarantined: bool) -> Markup {
    let fetched = links.iter().filter(|link| link.state == LinkState::Fetched);
    ui::action(
        "Reveal clinical content…",
        false,
        &html! {
            form method="post" action=(path) {
                p {
                    "You will see clinical content. Your access and its reason are written to the audit log before "
                    "anything is shown."
                }
                fieldset {
                    legend { "What?" }
                    label.radio {
                        input type="radio" name="part" value="payload" checked;
                        span { @if is_quarantined { "The bytes as received" } @else { "The notification as received" } }
                    }
                    @for link in fetched {
                        label.radio {
                            input type="radio" name="part" value=(link.n);
                            span { (link.group.as_str()) }
                        }
                    }
                }
                (reason(true))
                button.primary type="submit" { (ui::icon("eye")) "Reveal" }
            }
        },
    )
}

fn purge(path: &str, id: EventId) -> Markup {
    let id = id.to_string();
    let end = &id[id.len().saturating_sub(6)..];
    ui::action(
        "Purge…",
        true,
        &html! {
            form method="post" action=(path) {
                p {
                    "The event's content is removed from this service for good, but not from sinks that have received "
                    "it. The receipt stays."
                }
                label for="confirm" { "Type the last six characters of the event's id: " code { (end) } }
                input #confirm name="confirm" required autocomplete="off" spellcheck="false" maxlength="6" pattern=(end);
                (reason(false))
                button.grave type="submit" { "Purge the content" }
            }
        },
    )
}

/// The field for the reason of an action.
pub(super) fn reason(is_required: bool) -> Markup {
    html! {
        label.field {
            span { "Reason" @if !is_required { " (optional)" } }
            input name="reason" list="reasons" required[is_required] minlength=[is_required.then_some("10")] maxlength="500"
                autocomplete="off" placeholder="For the audit log; no patient data";
        }
        datalist #reasons {
            option value="Delivery problem under investigation" {}
            option value="Patient safety: the note is needed now" {}
            option value="Support case with Suki" {}
            option value="Audit of what was delivered" {}
        }
    }
}
