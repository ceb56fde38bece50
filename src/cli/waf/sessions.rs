//! `margay waf replay --har`: the requests of a recorded browser session, and what the firewall would do with them.

use super::evaluation::{decide, exchange, read_candidate};
use crate::cli::configuration::Configuration;
use crate::cli::{Exit, output};
use crate::control::dry_run::DryRun;
use crate::pipeline::exchange::Exchange;
use crate::stages::custom::StageRegistry;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

/// Evaluates every request of the session and prints those that would be blocked.
pub(super) fn run(file: &Path, configuration: &Configuration, stages: &StageRegistry) -> Exit {
    let requests =
        match std::fs::read_to_string(file).map_err(|error| error.to_string()).and_then(|text| read(&text)) {
            Ok(requests) => requests,
            Err(error) => return Exit::failed(&format!("{}: {error}", file.display())),
        };
    let candidate = match read_candidate(configuration, stages) {
        Ok(candidate) => candidate,
        Err(exit) => return exit,
    };
    let dry_run = match DryRun::new(&candidate) {
        Ok(dry_run) => dry_run,
        Err(error) => return Exit::failed(&error),
    };
    let (mut report, mut blocked, count) = (String::new(), 0, requests.len());
    for request in requests {
        match decide(&dry_run, request) {
            Ok(decision) if decision.status == 0 => {}
            Ok(decision) => {
                blocked += 1;
                let _ = writeln!(report, "{} {}: {}", decision.method, decision.target, decision.text);
            }
            Err(error) => return Exit::failed(&error),
        }
    }
    let _ = writeln!(report, "{count} requests, {blocked} blocked");
    output::write_stdout(&report);
    if blocked == 0 { Exit::Done } else { Exit::Failed }
}

/// The requests of an HTTP Archive, version 1.2: `log.entries[].request`.
fn read(text: &str) -> Result<Vec<Exchange>, String> {
    let archive: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let entries = archive["log"]["entries"].as_array().ok_or("expected an HTTP Archive with log.entries")?;
    let requests = entries
        .iter()
        .enumerate()
        .map(|(at, entry)| request(&entry["request"]).map_err(|error| format!("log.entries[{at}]: {error}")));
    requests.collect()
}

fn request(request: &Value) -> Result<Exchange, String> {
    let url = request["url"].as_str().ok_or("missing `url`: expected a text")?;
    let fields = request["headers"].as_array().into_iter().flatten().filter_map(|field| {
        // HTTP/2 has pseudo fields, `:path`; the length is that of the recorded text.
        let name = field["name"].as_str().filter(|name| !name.starts_with(':'))?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        Some((name.to_owned(), field["value"].as_str()?.to_owned())).filter(|_| !is_length)
    });
    let fields: Vec<_> = fields.collect();
    let body = request["postData"]["text"].as_str().unwrap_or_default();
    exchange(request["method"].as_str().unwrap_or("GET"), url, &fields, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_of_an_archive_are_read() {
        let text = r#"{"log": {"entries": [
            {"request": {"method": "POST", "url": "https://shop.example/a?b=1",
                "headers": [{"name": ":path", "value": "/a"}, {"name": "X-A", "value": "1"}],
                "postData": {"mimeType": "text/plain", "text": "hello"}}},
            {"request": {"method": "GET", "url": "https://shop.example/c", "headers": []}}
        ]}}"#;
        let requests = read(text).unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].request.get(b"x-a"), Some(&b"1"[..]));
        assert_eq!(requests[0].body.collected.as_deref(), Some(&b"hello"[..]));
        assert!(read("{}").unwrap_err().contains("log.entries"));
        assert!(
            read(r#"{"log": {"entries": [{}]}}"#).unwrap_err().starts_with("log.entries[0]: missing `url`")
        );
    }
}
