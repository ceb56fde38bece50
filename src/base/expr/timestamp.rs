//! Times and durations in text.

use crate::base::date::{civil_from_days, days_from_civil};

const NANOS: i128 = 1_000_000_000;
const DAY_SECONDS: i128 = 86_400;
/// 0001-01-01 and 9999-12-31 in seconds since 1970.
const MIN_SECONDS: i128 = -62_135_596_800;
const MAX_SECONDS: i128 = 253_402_300_799;

/// The parts of a time in UTC.
#[derive(Clone, Copy, Debug)]
pub struct CivilTime {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub nanos: i64,
    /// Days since 1970-01-01.
    pub days: i64,
}

/// The parts of nanoseconds since 1970.
pub fn civil(at: i128) -> CivilTime {
    let seconds = at.div_euclid(NANOS);
    let days = seconds.div_euclid(DAY_SECONDS) as i64;
    let of_day = seconds.rem_euclid(DAY_SECONDS) as i64;
    // The calendar repeats every 400 years: days before 1970 are moved into the range of the algorithm.
    let cycles = if days < 0 { (-days) / 146_097 + 1 } else { 0 };
    let (year, month, day) = civil_from_days((days + cycles * 146_097) as u64);
    CivilTime {
        year: year as i64 - cycles * 400,
        month: month as i64,
        day: day as i64,
        hour: of_day / 3600,
        minute: of_day / 60 % 60,
        second: of_day % 60,
        nanos: at.rem_euclid(NANOS) as i64,
        days,
    }
}

/// RFC 3339 in UTC, with a fraction only if there is one.
pub fn format_rfc3339(at: i128) -> String {
    let t = civil(at);
    let fraction = match t.nanos {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}Z",
        t.year, t.month, t.day, t.hour, t.minute, t.second
    )
}

/// Parses RFC 3339; a date alone is its midnight.
pub fn parse_rfc3339(text: &str) -> Option<i128> {
    let date = text.get(..10)?;
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = i128::from(days_from_civil(year, month, day));
    let rest = text.get(10..)?;
    if rest.is_empty() {
        return Some(days * DAY_SECONDS * NANOS);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, offset) = split_offset(rest)?;
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.split(':').map(|part| part.parse::<i128>().ok().filter(|_| part.len() == 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if hour > 23 || minute > 59 || second > 60 || parts.next().is_some() {
        return None;
    }
    let nanos: i128 =
        if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").get(..9)?.parse().ok()? };
    let seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
    (MIN_SECONDS..=MAX_SECONDS).contains(&seconds).then_some(seconds * NANOS + nanos)
}

/// The clock, and the seconds east of UTC; without an offset the time is in UTC.
fn split_offset(text: &str) -> Option<(&str, i128)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let (clock, offset) = text.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes) = (hours.parse::<i128>().ok()?, minutes.parse::<i128>().ok()?);
    Some((clock, sign * (hours * 3600 + minutes * 60)))
}

/// The seconds of a duration as text.
pub fn duration_seconds(length: i128) -> String {
    super::number::double_text(length as f64 / 1e9)
}

/// Parses a duration of CEL: `1h30m`, `45s`, `100ms`, `-1.5h`.
pub fn parse_duration(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest.get(..end)? {
            "h" => 3600e9,
            "m" => 60e9,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "µs" => 1e3,
            "ns" => 1.0,
            _ => return None,
        };
        rest = rest.get(end..)?;
        (total, any) = (total + number * unit, true);
    }
    any.then_some(sign * total.round() as i128)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Formats a time by a pattern of `strftime`; `None` for an unknown specifier.
pub fn format_pattern(at: i128, pattern: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => text.push_str(&format_part(at, chars.next()?)?),
            c => text.push(c),
        }
    }
    Some(text)
}

/// One specifier of a pattern.
fn format_part(at: i128, specifier: char) -> Option<String> {
    let t = civil(at);
    let weekday = (t.days + 4).rem_euclid(7) as usize;
    let month = MONTHS.get(t.month as usize - 1)?;
    Some(match specifier {
        'Y' => format!("{:04}", t.year),
        'y' => format!("{:02}", t.year.rem_euclid(100)),
        'm' => format!("{:02}", t.month),
        'd' => format!("{:02}", t.day),
        'e' => format!("{:2}", t.day),
        'H' => format!("{:02}", t.hour),
        'I' => format!("{:02}", (t.hour + 11) % 12 + 1),
        'M' => format!("{:02}", t.minute),
        'S' => format!("{:02}", t.second),
        'L' => format!("{:03}", t.nanos / 1_000_000),
        'f' => format!("{:06}", t.nanos / 1000),
        'p' => if t.hour < 12 { "AM" } else { "PM" }.to_owned(),
        'b' => month.get(..3)?.to_owned(),
        'B' => (*month).to_owned(),
        'a' => WEEKDAYS[weekday].get(..3)?.to_owned(),
        'A' => WEEKDAYS[weekday].to_owned(),
        'j' => format!("{:03}", t.days - days_from_civil(t.year, 1, 1) + 1),
        's' => at.div_euclid(NANOS).to_string(),
        'F' => format!("{:04}-{:02}-{:02}", t.year, t.month, t.day),
        'T' => format!("{:02}:{:02}:{:02}", t.hour, t.minute, t.second),
        'z' => "+0000".to_owned(),
        'Z' => "UTC".to_owned(),
        '%' => "%".to_owned(),
        _ => return None,
    })
}

/// The date of HTTP (RFC 9110 5.6.7).
pub fn format_http(at: i128) -> Option<String> {
    format_pattern(at, "%a, %d %b %Y %H:%M:%S GMT")
}
