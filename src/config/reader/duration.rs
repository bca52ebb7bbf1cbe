//! Durations in the notation of the configuration: `500ms`, `5s`, `10m`, `72h`, `30d`, and several in a row: `1h30m`.

use std::time::Duration;

/// The units, the longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 24 * 3600 * 1000),
    ("h", 3600 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest duration that is accepted, since deadlines are computed by adding to the present time.
const LONGEST: Duration = Duration::from_secs(36_500 * 24 * 3600);

/// Parses a duration.
pub(in crate::config) fn parse(text: &str) -> Result<Duration, String> {
    let malformed = || {
        format!(
            "invalid duration '{text}'; expected whole numbers with ms, s, m, h or d, such as 500ms, 10m or 1h30m"
        )
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(malformed());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, tail) = split_before(rest, |c| !c.is_ascii_digit());
        let (unit, tail) = split_before(tail, |c| c.is_ascii_digit());
        let number: u64 = number.parse().map_err(|_| malformed())?;
        let (_, millis) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(malformed)?;
        total = total.saturating_add(Duration::from_millis(number.saturating_mul(millis)));
        rest = tail;
    }
    if total > LONGEST {
        return Err(format!("'{text}' is too long; use at most 36500d"));
    }
    Ok(total)
}

/// Shows a duration in the longest unit in which it is a whole number.
pub(in crate::config) fn show(duration: Duration) -> String {
    let total = duration.as_millis();
    let whole = |(_, millis): &(&str, u64)| total.is_multiple_of(u128::from(*millis));
    match UNITS.into_iter().find(whole) {
        Some((unit, millis)) if total > 0 => format!("{}{unit}", total / u128::from(millis)),
        _ => "0s".to_owned(),
    }
}

fn split_before(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit_and_in_a_row() {
        for (text, millis) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("10m", 600_000),
            ("72h", 259_200_000),
            ("30d", 2_592_000_000),
            ("1h30m", 5_400_000),
            ("1m500ms", 60_500),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_as_the_same() {
        for text in ["500ms", "90s", "10m", "3d", "25h", "0s"] {
            assert_eq!(parse(text).map(show), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 s",
            "5y",
            "99999999999999999999s",
            "36501d",
            "18446744073709551615d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
