//! Values of rate limit headers: those of Ocelot, and of the IETF draft
//! (draft-ietf-httpapi-ratelimit-headers).

use crate::base::{bytes::put_decimal, date::civil_from_days};
use sfv::{BareItem, Item, SerializeValue};

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Unix time in nanoseconds in the round-trip format of .NET: `2026-11-21T15:27:51.1234567Z`.
pub fn round_trip(buffer: &mut Vec<u8>, unix: u64) {
    let (days, rest) = (unix / (86_400 * NANOS_PER_SEC), unix % (86_400 * NANOS_PER_SEC));
    let (year, month, day) = civil_from_days(days);
    let (seconds, ticks) = (rest / NANOS_PER_SEC, rest % NANOS_PER_SEC / 100);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (h, 2, b':'),
        (m, 2, b':'),
        (s, 2, b'.'),
        (ticks, 7, b'Z'),
    ];
    for (n, width, after) in parts {
        zero_padded(buffer, n, width);
        buffer.push(after);
    }
}

/// A number with leading zeros.
fn zero_padded(buffer: &mut Vec<u8>, n: u64, width: u32) {
    buffer.extend((0..width).rev().map(|at| b'0' + (n / 10_u64.pow(at) % 10) as u8));
}

/// Ocelot's `Retry-After`: seconds as .NET prints a double, exact to the tick of 100 ns.
pub fn seconds_as_double(nanoseconds: u64) -> String {
    let ticks = nanoseconds / 100;
    if ticks > 0 && ticks < 1000 {
        // Below 0.0001 .NET writes exponents.
        let digits = ticks.to_string();
        let (first, rest) = digits.split_at(1);
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{first}{point}{rest}E-{:02}", 8 - digits.len());
    }
    format!("{}", ticks as f64 / 1e7)
}

/// Whole seconds (RFC 9110 10.2.3), rounded up.
pub fn whole_seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(NANOS_PER_SEC)
}

/// A structured field string (RFC 9651 3.3.3); invalid characters become `?`.
pub fn sf_string(text: &str) -> String {
    let ascii = text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
    Item::new(BareItem::String(ascii)).serialize_value().unwrap_or_default()
}

/// One item of `RateLimit`: remaining requests and seconds until the reset.
pub fn ratelimit_item(buffer: &mut Vec<u8>, name: &str, left: u64, nanoseconds: u64) {
    buffer.extend_from_slice(name.as_bytes());
    buffer.extend_from_slice(b";r=");
    put_decimal(buffer, left);
    buffer.extend_from_slice(b";t=");
    put_decimal(buffer, whole_seconds(nanoseconds));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_round_trip_format() {
        let text = |unix| {
            let mut buffer = Vec::new();
            round_trip(&mut buffer, unix);
            String::from_utf8(buffer).expect("ASCII")
        };
        assert_eq!(text(0), "1970-01-01T00:00:00.0000000Z");
        assert_eq!(text(1_709_164_800 * NANOS_PER_SEC - 100), "2024-02-28T23:59:59.9999999Z");
        assert_eq!(text(1_709_164_800 * NANOS_PER_SEC), "2024-02-29T00:00:00.0000000Z");
        assert_eq!(text(1_735_689_600 * NANOS_PER_SEC + 123_456_789), "2025-01-01T00:00:00.1234567Z");
    }

    #[test]
    fn seconds_are_formatted_as_dot_net_doubles() {
        for (nanoseconds, text) in [
            (248_761_300, "0.2487613"),
            (NANOS_PER_SEC, "1"),
            (60 * NANOS_PER_SEC, "60"),
            (3_599_987_654_300, "3599.9876543"),
            (500_000_000, "0.5"),
            (100_000, "0.0001"),
            (99_900, "9.99E-05"),
            (10_000, "1E-05"),
            (100, "1E-07"),
            (0, "0"),
        ] {
            assert_eq!(seconds_as_double(nanoseconds), text);
        }
        assert_eq!((whole_seconds(1), whole_seconds(NANOS_PER_SEC), whole_seconds(0)), (1, 1, 0));
    }

    #[test]
    fn names_are_structured_strings() {
        assert_eq!(sf_string("a \"b\" \\ ü"), r#""a \"b\" \\ ?""#);
        let mut buffer = Vec::new();
        ratelimit_item(&mut buffer, "\"d\"", 7, 1_500_000_000);
        assert_eq!(buffer, b"\"d\";r=7;t=2");
    }
}
