//! Durations of rate limits in Ocelot: a non-negative decimal and `ms`, `s`, `m`, `h` or `d` (docs/ocelot-behavior.md, section 13).

use std::time::Duration;

const UNITS: [(&str, f64); 6] =
    [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0), ("", 0.001)];

/// A hundred years; longer periods are shortened to it.
const MAX_PERIOD: f64 = 100.0 * 366.0 * 86_400.0;

/// Reads a duration; units are case-insensitive, milliseconds are the default.
pub fn read(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let is_number = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
    let amount = number.parse::<f64>().ok().filter(|_| is_number)?;
    let (_, seconds) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    Duration::try_from_secs_f64((amount * seconds).min(MAX_PERIOD)).ok()
}

/// `^\d+(\.\d+)?(ms|s|m|h|d)`: like Ocelot, only the beginning is checked.
pub(super) fn has_period_prefix(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let rest = &text[whole..];
    let rest = match rest.strip_prefix('.').map(|fraction| (digits(fraction), fraction)) {
        Some((length, fraction)) if length > 0 => &fraction[length..],
        _ => rest,
    };
    whole > 0 && rest.starts_with(['m', 's', 'h', 'd'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_with_a_number_and_a_unit() {
        for text in ["1s", "10ms", "1.5h", "2d", "1month"] {
            assert!(has_period_prefix(text), "{text}");
        }
        for text in ["s", "bad", "1", "1 s", "-1s", "1.s", ".5s", "1x"] {
            assert!(!has_period_prefix(text), "{text}");
        }
    }

    #[test]
    fn a_time_is_a_decimal_and_a_unit_in_any_case() {
        for (text, ms) in [
            ("1s", 1000),
            ("500ms", 500),
            ("0ms", 0),
            ("1.5M", 90_000),
            ("2H", 7_200_000),
            ("1d", 86_400_000),
            ("90000MS", 90_000),
            ("250", 250),
            (" 1 s ", 1000),
        ] {
            assert_eq!(read(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1s", "1month", "1.s", ".5s", "1e3s", "1x", "1.2.3s"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(read("99999999999999999999d").is_some());
    }
}
