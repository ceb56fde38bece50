//! `margay tail`: requests as they end.

use super::arguments::TailCommand;
use super::columns::cell;
use super::connection::AdminClient;
use super::error::ClientError;
use crate::cli::output;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// Prints a line for each request until the gateway ends the stream, or the number of lines is reached.
pub fn run(command: &TailCommand) -> Result<(), ClientError> {
    let client = AdminClient::new(&command.admin)?;
    let filters = [
        ("route", &command.route),
        ("status", &command.status),
        ("code", &command.code),
        ("client", &command.client),
    ];
    let filters = filters.iter().filter_map(|(name, value)| {
        value.as_ref().map(|value| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
    });
    let query = filters.collect::<Vec<_>>().join("&");
    let path = if query.is_empty() { "/v1/tail".to_owned() } else { format!("/v1/tail?{query}") };
    let mut left = command.lines.unwrap_or(u64::MAX);
    client.stream(&path, |data| {
        for line in data.lines() {
            let text = if command.admin.json { line.to_owned() } else { record_text(line) };
            output::write_stdout(&format!("{text}\n"));
            left = left.saturating_sub(1);
            if left == 0 {
                return false;
            }
        }
        true
    })
}

/// `time status method target route code ms`; a line that is no record is printed as it is.
fn record_text(line: &str) -> String {
    let Ok(record @ Value::Object(_)) = serde_json::from_str::<Value>(line) else {
        return super::table::printable(line);
    };
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| record.get(*name).map(|value| cell(name, value)));
        found.unwrap_or_default()
    };
    if record.get("lost").is_some() && record.get("status").is_none() {
        return format!("({} requests lost: the reader was too slow)", text(&["lost"]));
    }
    let method = text(&["method"]);
    let target = text(&["path", "target", "url"]);
    let duration = ["duration_ms", "total_ms", "ms"].iter().find_map(|name| record.get(*name)?.as_f64());
    let duration = duration.map_or(String::new(), |ms| super::table::latency_text(ms / 1000.0));
    let parts = [
        text(&["time", "timestamp"]),
        text(&["status"]),
        method,
        target,
        text(&["route"]),
        text(&["endpoint", "backend"]),
        text(&["error_code", "code"]),
        duration,
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_without_empty_fields() {
        let line = r#"{"time":"2026-01-01T00:00:00Z","status":503,"method":"GET","path":"/a","route":"a","error_code":"backend.connect","duration_ms":12.4}"#;
        assert_eq!(record_text(line), "2026-01-01T00:00:00Z  503  GET  /a  a  backend.connect  12ms");
        assert_eq!(record_text("plain\x1b"), "plain?");
        assert_eq!(record_text(r#"{"lost":3}"#), "(3 requests lost: the reader was too slow)");
    }
}
