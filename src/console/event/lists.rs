//! The lists on an event's page: deliveries, links, other events, the audit log.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::console::visitor::Visitor;
use crate::console::{time, ui};
use crate::domain::DeliveryState;
use crate::journal::{AuditPage, Delivery, Event, LinkRecord};

/// The deliveries, sink by sink, with a remark on those to a paused sink.
pub(super) fn deliveries(
    deliveries: &[Delivery],
    paused: &[String],
    now: Timestamp,
    visitor: &Visitor,
) -> Markup {
    html! {
        @if deliveries.is_empty() {
            p.hint { "No delivery is planned." }
        } @else {
            table.list {
                caption.unseen { "Deliveries" }
                thead { tr {
                    th scope="col" { "Sink" }
                    th scope="col" { "State" }
                    th scope="col" { "Attempts" }
                    th scope="col" { "Delivered" }
                    th scope="col" { "Took" }
                    th scope="col" { "Last error" }
                } }
                tbody {
                    @for delivery in deliveries {
                        tr {
                            th scope="row" data-label="Sink" { (delivery.sink) }
                            td data-label="State" {
                                (ui::delivery(delivery.state))
                                @if delivery.state == DeliveryState::Pending && paused.contains(&delivery.sink) {
                                    " " span.note { "its sink is paused" }
                                } @else if let Some(next) = delivery.next_attempt_at {
                                    " " span.note { "next " (time::distance(next, now)) }
                                }
                            }
                            td.number data-label="Attempts" { (delivery.attempts) }
                            td data-label="Delivered" {
                                @match delivery.delivered_at {
                                    Some(at) => (time::ago(at, now, &visitor.zone)),
                                    None => "–",
                                }
                                @if delivery.applied_at.is_some() { " " span.note { "applied" } }
                            }
                            td.number data-label="Took" {
                                @match delivery.took { Some(took) => (time::took(took)), None => "–" }
                            }
                            td.error data-label="Last error" {
                                @if let Some(cause) = delivery.cause { span.cause { (cause.as_str()) } " " }
                                (delivery.last_error.as_deref().unwrap_or("–"))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The links with their states.
pub(super) fn links(links: &[LinkRecord]) -> Markup {
    html! {
        @if links.is_empty() {
            p.hint { "The event has no links." }
        } @else {
            table.list {
                caption.unseen { "Links" }
                thead { tr {
                    th scope="col" { "Group" }
                    th scope="col" { "State" }
                    th scope="col" { "Answer" }
                    th scope="col" { "Size" }
                    th scope="col" { "Took" }
                    th scope="col" { "Why" }
                } }
                tbody {
                    @for link in links {
                        tr {
                            th scope="row" data-label="Group" { (link.group.as_str()) }
                            td data-label="State" { (ui::link(link.state)) }
                            td.number data-label="Answer" {
                                @match link.http_status { Some(status) => { "HTTP " (status) }, None => "–" }
                            }
                            td.number data-label="Size" {
                                @match link.bytes { Some(bytes) => { (ui::number(bytes)) " B" }, None => "–" }
                            }
                            td.number data-label="Took" {
                                @match link.took { Some(took) => (time::took(took)), None => "–" }
                            }
                            td.error data-label="Why" { (link.reason.as_deref().unwrap_or("–")) }
                        }
                    }
                }
            }
        }
    }
}

/// Other events, one on each line.
pub(super) fn others(others: &[Event], now: Timestamp, visitor: &Visitor) -> Markup {
    html! {
        ul.others {
            @for other in others {
                li {
                    a href={ "/events/" (other.id) } { code { (ui::shortened(&other.id.to_string())) } }
                    " " (ui::state(other.state)) " " (ui::outcome(other.outcome)) " · " (other.source.as_str()) " · "
                    (time::ago(other.received_at, now, &visitor.zone))
                }
            }
        }
    }
}

/// Who read or changed the event.
pub(super) fn audit(page: &AuditPage, visitor: &Visitor) -> Markup {
    let reads = page
        .entries
        .iter()
        .filter(|entry| entry.action.starts_with("read "))
        .count();
    let reads = u64::try_from(reads).unwrap_or(0);
    html! {
        p.hint {
            @if reads == 0 { "Nobody has read its content." }
            @else { "Its content was read " (ui::counted(reads, "time", "times")) "." }
        }
        @if !page.entries.is_empty() {
            ul.audit {
                @for entry in &page.entries {
                    li {
                        (time::exact(entry.at, &visitor.zone)) " · " strong { (entry.actor) } " · " (entry.action)
                        @if let Some(reason) = &entry.reason { " · “" (reason) "”" }
                    }
                }
            }
        }
    }
}
