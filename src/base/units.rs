//! Units in settings: durations like "250ms" and sizes like "4MiB".

use super::from_text::{self, FromText};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

/// The longest duration of a setting; longer ones overflow deadlines.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 60 * 60 * 10);

const DURATION_UNITS: [(&str, f64); 5] =
    [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

const DURATION_FORMS: &str =
    "durations are written with ms, s, m, h or d, for example \"250ms\", \"1s\", \"2m\"";
const SIZE_FORMS: &str =
    "sizes are written with B, KiB, MiB, GiB, TiB (1024) or KB, MB, GB, TB (1000), for example \"64KiB\"";

/// A duration in a setting: a number and one of `ms s m h d`; a fraction (`"1.5s"`) is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(pub Duration);

/// A size in bytes in a setting: a number and one of `B KiB MiB GiB TiB KB MB GB TB`; a bare number is bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeText(pub u64);

impl FromText for DurationText {
    fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let amount = parse_amount(text, number, "duration", DURATION_FORMS)?;
        let Some((_, seconds)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
            let names = DURATION_UNITS.map(|(name, _)| name);
            return Err(bad_unit(number, unit, &names, DURATION_FORMS));
        };
        match Duration::try_from_secs_f64(amount * seconds) {
            Ok(duration) if duration <= MAX_DURATION => Ok(DurationText(duration)),
            _ => Err(format!("\"{text}\" is longer than ten years")),
        }
    }
}

impl FromText for SizeText {
    fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let amount = parse_amount(text, number, "size", SIZE_FORMS)?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let Some((_, bytes)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
            let names = SIZE_UNITS.map(|(name, _)| name);
            return Err(bad_unit(number, unit, &names, SIZE_FORMS));
        };
        let exact = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*bytes));
        let rounded = (amount * *bytes as f64).round();
        match exact {
            Some(size) => Ok(SizeText(size)),
            None if rounded < 9e18 && number.contains('.') => Ok(SizeText(rounded as u64)),
            None => Err(format!("\"{text}\" is too large")),
        }
    }
}

impl FromStr for DurationText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::from_text(text)
    }
}

impl FromStr for SizeText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::from_text(text)
    }
}

impl fmt::Display for DurationText {
    /// The shortest exact form: "90s", "1500ms", "2m".
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let ms = self.0.as_millis();
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        match units.iter().find(|(_, length)| ms.is_multiple_of(*length)) {
            _ if ms == 0 => f.write_str("0s"),
            Some((name, length)) => write!(f, "{}{name}", ms / length),
            None => write!(f, "{ms}ms"),
        }
    }
}

impl fmt::Display for SizeText {
    /// The largest binary unit that is exact: "64KiB", "30000000B".
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let unit =
            SIZE_UNITS[..5].iter().rev().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        let (name, bytes) = unit.unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{}{name}", self.0 / bytes)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for SizeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text::deserialize(deserializer)
    }
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)\s*$|\$\{",
            "examples": ["1s", "250ms"],
        })
    }
}

impl JsonSchema for SizeText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(([KMGT]i?)?B)?\s*$|\$\{",
            "examples": ["4MiB", 30000000],
        })
    }
}

/// The number and the unit, without white space.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

fn parse_amount(text: &str, number: &str, quantity: &str, forms: &str) -> Result<f64, String> {
    let dots_inside = !number.starts_with('.') && !number.ends_with('.');
    let amount = number.parse::<f64>().ok().filter(|n| n.is_finite() && dots_inside);
    amount.ok_or_else(|| format!("\"{text}\" is not a {quantity}\n{forms}"))
}

fn bad_unit(number: &str, unit: &str, units: &[&str], forms: &str) -> String {
    if unit.is_empty() {
        return format!("\"{number}\" has no unit\ndid you mean \"{number}s\"?\n{forms}");
    }
    match units.iter().find(|name| name.eq_ignore_ascii_case(unit)) {
        Some(name) => format!("\"{unit}\" is not a unit\ndid you mean \"{number}{name}\"?\n{forms}"),
        None => format!("\"{unit}\" is not a unit\n{forms}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str) -> Result<Duration, String> {
        DurationText::from_text(text).map(|d| d.0)
    }

    fn size(text: &str) -> Result<u64, String> {
        SizeText::from_text(text).map(|s| s.0)
    }

    #[test]
    fn durations_have_five_units_and_fractions() {
        for (text, ms) in
            [("250ms", 250), ("1s", 1000), ("2m", 120_000), ("1h", 3_600_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(duration(" 1.5 s "), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (text, bytes) in [("512B", 512), ("16KiB", 16384), ("4MiB", 4 << 20), ("1GB", 1_000_000_000)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(size("1.5KiB"), Ok(1536));
    }

    #[test]
    fn a_duration_needs_a_unit_and_a_size_without_one_is_in_bytes() {
        assert!(duration("30").unwrap_err().contains("did you mean \"30s\"?"));
        assert_eq!(size("30000000"), Ok(30_000_000));
    }

    #[test]
    fn a_unit_in_the_wrong_case_gets_a_suggestion() {
        assert!(duration("5MS").unwrap_err().contains("did you mean \"5ms\"?"));
        assert!(size("4mib").unwrap_err().contains("did you mean \"4MiB\"?"));
    }

    #[test]
    fn an_invalid_value_lists_the_valid_forms() {
        for text in ["", "s", "-1s", "1 parsec", ".5s", "1.s", "1e3s", "99999999999d", "∞s"] {
            assert!(duration(text).is_err(), "{text}");
            assert!(size(text).is_err(), "{text}");
        }
        assert!(size("99999999999TiB").is_err());
    }

    #[test]
    fn printed_values_parse_to_the_same_value() {
        for text in ["250ms", "90s", "2m", "1h", "3d"] {
            assert_eq!(DurationText::from_text(text).unwrap().to_string(), text);
        }
        for text in ["16KiB", "4MiB", "1GiB", "30000000B", "0B"] {
            assert_eq!(SizeText::from_text(text).unwrap().to_string(), text);
        }
    }
}
