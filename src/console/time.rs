//! Times for people: in the zone that they have chosen, and relative to now.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

/// A time in a list: how long ago, and the time of day if there is room.
pub(super) fn ago(at: Timestamp, now: Timestamp, zone: &TimeZone) -> Markup {
    html! {
        time.when datetime=(at) title=(full(at, zone)) {
            span.ago { (distance(at, now)) }
            span.clock { (clock(at, zone)) }
        }
    }
}

/// A time to the second.
pub(super) fn exact(at: Timestamp, zone: &TimeZone) -> Markup {
    html! { time datetime=(at) { (full(at, zone)) } }
}

/// A time of day to the millisecond, for a timeline.
pub(super) fn precise(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone())
        .strftime("%H:%M:%S.%3f")
        .to_string()
}

fn full(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %Z")
        .to_string()
}

fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone())
        .strftime("%b %d, %H:%M:%S")
        .to_string()
}

/// A time of day to the minute, for a chart.
pub(super) fn minute(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone())
        .strftime("%H:%M")
        .to_string()
}

/// The distance of a time from now, in the past or the future.
pub(super) fn distance(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    let words = length(Duration::from_secs(seconds.unsigned_abs()));
    match seconds {
        0 => "just now".to_owned(),
        1.. => format!("{words} ago"),
        _ => format!("in {words}"),
    }
}

/// A duration in its largest unit.
pub(super) fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The duration of a step.
pub(super) fn took(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => length(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_its_largest_unit() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().expect("a time");
        let told = |text: &str| distance(text.parse().expect("a time"), now);
        assert_eq!(told("2026-11-25T12:00:00Z"), "just now");
        assert_eq!(told("2026-11-25T11:59:15Z"), "45 s ago");
        assert_eq!(told("2026-11-25T09:30:00Z"), "2 h ago");
        assert_eq!(told("2026-11-22T09:30:00Z"), "3 d ago");
        assert_eq!(told("2026-11-25T12:05:00Z"), "in 5 min");
        assert_eq!(took(Duration::from_millis(1_240)), "1.2 s");
    }
}
