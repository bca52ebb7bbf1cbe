//! The elements from which pages are made.

use maud::{Markup, html};

use crate::domain::{DeliveryState, EventState, LinkState, Outcome};

/// The logo.
pub(super) fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 32 32" width="24" height="24" aria-hidden="true" focusable="false" {
            rect width="32" height="32" rx="8" {}
            path d="M8 17.5h4l2.5-7 4 12 2.5-5H24" {}
        }
    }
}

/// A decorative icon beside text, which adds no information.
pub(super) fn icon(name: &str) -> Markup {
    let path = match name {
        "check" => "M3.5 8.5l3 3 6-7",
        "cross" => "M4 4l8 8M12 4l-8 8",
        "alert" => "M8 2.5l6 11H2zM8 6.5v3.2M8 11.6v.4",
        "clock" => "M8 2.5a5.5 5.5 0 100 11 5.5 5.5 0 000-11zM8 5v3.2l2 1.3",
        "arrow" => "M3 8h9M9 5l3 3-3 3",
        "dash" => "M4 8h8",
        "search" => "M7 3a4 4 0 100 8 4 4 0 000-8zM10 10l3 3",
        "copy" => "M6 5.5h6v7H6zM4 10V3.5h5.5",
        "eye" => "M2 8s2.2-4 6-4 6 4 6 4-2.2 4-6 4-6-4-6-4zM8 6.5a1.5 1.5 0 100 3 1.5 1.5 0 000-3z",
        "pause" => "M6 4v8M10 4v8",
        "box" => "M3 5l5-2.5L13 5v6l-5 2.5L3 11zM3 5l5 2.5L13 5M8 7.5v6",
        _ => "M8 5.5a2.5 2.5 0 100 5 2.5 2.5 0 000-5z",
    };
    html! {
        svg.icon viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" { path d=(path) {} }
    }
}

/// The tone of a badge: good, bad, or in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Busy,
    Bad,
    Quiet,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }

    fn icon(self) -> &'static str {
        match self {
            Self::Good => "check",
            Self::Busy => "clock",
            Self::Bad => "cross",
            Self::Quiet => "dash",
        }
    }
}

/// A word with an icon.
pub(super) fn badge(tone: Tone, words: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (icon(tone.icon())) (words) } }
}

/// The badge of an event's state.
pub(super) fn state(state: EventState) -> Markup {
    let tone = match state {
        EventState::Received | EventState::Retrieving | EventState::Delivering => Tone::Busy,
        EventState::Done => Tone::Good,
        EventState::Dead | EventState::Quarantined => Tone::Bad,
        EventState::Purged => Tone::Quiet,
    };
    badge(tone, state.as_str())
}

/// The badge of a delivery's state.
pub(super) fn delivery(state: DeliveryState) -> Markup {
    let tone = match state {
        DeliveryState::Pending => Tone::Busy,
        DeliveryState::Delivered => Tone::Good,
        DeliveryState::Dead => Tone::Bad,
    };
    badge(tone, state.as_str())
}

/// The badge of a link's state.
pub(super) fn link(state: LinkState) -> Markup {
    let tone = match state {
        LinkState::Pending => Tone::Busy,
        LinkState::Fetched => Tone::Good,
        LinkState::Missing => Tone::Quiet,
        LinkState::Failed => Tone::Bad,
    };
    badge(tone, state.as_str())
}

/// A session's outcome in words.
pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Failed => "failed",
        Outcome::TimedOut => "timed out",
        Outcome::Cancelled => "cancelled",
        Outcome::Skipped => "skipped",
        Outcome::Unknown => "unknown",
    }
}

/// An id: its beginning and end, and a button that copies the whole id.
pub(super) fn id(whole: &str) -> Markup {
    html! {
        span.id title=(whole) {
            code { (shortened(whole)) }
            (copy(whole))
        }
    }
}

/// A button that copies a text; shown only if the script runs.
pub(super) fn copy(text: &str) -> Markup {
    html! {
        button.copy type="button" data-copy=(text) aria-label={ "Copy " (text) } hidden { (icon("copy")) }
    }
}

/// The beginning and the end of a text that is too long for a column.
pub(super) fn shortened(whole: &str) -> String {
    let letters: Vec<char> = whole.chars().collect();
    if letters.len() <= 15 {
        return whole.to_owned();
    }
    let begin: String = letters[..8].iter().collect();
    let end: String = letters[letters.len() - 4..].iter().collect();
    format!("{begin}…{end}")
}

/// A number with separated thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun, in the singular or the plural.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// The text that replaces an empty list.
pub(super) fn empty(title: &str, hint: &Markup) -> Markup {
    html! {
        div.empty {
            (icon("box"))
            p.empty-title { (title) }
            div.hint { (hint) }
        }
    }
}

/// An action: a button that opens a form, which says what will happen.
pub(super) fn action(title: &str, is_grave: bool, form: &Markup) -> Markup {
    html! {
        details.action {
            summary.button .grave[is_grave] { (title) }
            div.sheet { (form) }
        }
    }
}

/// Links to other pages of a list.
pub(super) fn pages(first: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        @if first.is_some() || next.is_some() {
            nav.pages aria-label="Pages" {
                @if let Some(first) = first { a.button href=(first) { "First page" } }
                @if let Some(next) = next { a.button rel="next" href=(next) { "Next page" (icon("arrow")) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ids_are_read_at_a_glance() {
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(number(123), "123");
        assert_eq!(counted(1, "event", "events"), "1 event");
        assert_eq!(
            shortened("019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11"),
            "019b2c4e…8f11"
        );
        assert_eq!(shortened("short"), "short");
    }
}
