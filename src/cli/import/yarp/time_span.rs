//! .NET's `TimeSpan` as text: `00:00:30`, `1.02:00:00`, `00:00:00.5`.

use crate::cli::import::values::duration_text;
use serde_json::Value;

/// The seconds of a time span; a bare number is days.
pub fn seconds(value: &Value) -> Option<f64> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let fields: Vec<&str> = text.split(':').collect();
    let field = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    match &fields[..] {
        [days] => field(days).map(|days| days * 86_400.0),
        [hours, minutes] => Some(hours_of(hours)? * 3600.0 + field(minutes)? * 60.0),
        [hours, minutes, seconds] => {
            Some(hours_of(hours)? * 3600.0 + field(minutes)? * 60.0 + field(seconds)?)
        }
        _ => None,
    }
}

/// `DAYS.HOURS` or `HOURS`.
fn hours_of(text: &str) -> Option<f64> {
    let (days, hours) = text.split_once('.').unwrap_or(("0", text));
    let number = |text: &str| text.parse::<u32>().ok().map(f64::from);
    Some(number(days)? * 24.0 + number(hours)?)
}

/// The time span as margay writes durations.
pub fn seconds_text(value: &Value) -> Option<String> {
    seconds(value).map(duration_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn time_spans_have_hours_minutes_seconds_and_days() {
        for (text, expected) in [
            ("00:00:30", Some(30.0)),
            ("01:00", Some(3600.0)),
            ("1.02:00:00.5", Some(93_600.5)),
            ("2", Some(172_800.0)),
            ("x", None),
            ("-00:01:00", None),
        ] {
            assert_eq!(seconds(&json!(text)), expected, "{text}");
        }
        assert_eq!(seconds_text(&json!("00:00:00.2500000")).as_deref(), Some("250ms"));
    }
}
