//! Durations and sizes as people write them: `"1s"`, `"250ms"`, `"4MiB"`.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

/// A duration written as a number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(pub Duration);

/// A size written as a number of bytes, or a number and `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeText(pub u64);

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

impl FromStr for DurationText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is not a duration; write a number and ms, s, m, h or d, such as \"1s\"");
        let (number, unit) = split(text);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let total = number.parse::<u64>().ok().and_then(|n| n.checked_mul(millis));
        total.map(|n| DurationText(Duration::from_millis(n))).ok_or_else(wrong)
    }
}

impl FromStr for SizeText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is not a size; write a number and B, KiB, MiB or GiB, such as \"4MiB\"");
        let (number, unit) = split(text);
        let bytes = match unit {
            "" | "B" => 1,
            "kB" => 1_000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        number.parse::<u64>().ok().and_then(|n| n.checked_mul(bytes)).map(SizeText).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SizeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = SizeText;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a size such as \"4MiB\", or a number of bytes")
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<SizeText, E> {
        Ok(SizeText(n))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<SizeText, E> {
        u64::try_from(n).map(SizeText).map_err(|_| E::custom("a size is not negative"))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<SizeText, E> {
        text.parse().map_err(E::custom)
    }
}

impl schemars::JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["1s", "250ms"] })
    }
}

impl schemars::JsonSchema for SizeText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "examples": ["4MiB", 30000000] })
    }
}
