//! `margay apply`, `rollback`, `drain` and `enable`: changes, shown and confirmed before they are made.

use super::arguments::{ApplyCommand, ChangeOptions, EndpointCommand, RollbackCommand};
use super::columns::cell;
use super::connection::AdminClient;
use super::diagnostics::diagnostics_text;
use super::error::ClientError;
use super::table::printable;
use crate::base::{from_text::FromText, units::DurationText};
use crate::cli::progress::Progress;
use crate::cli::{output, settings};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

/// Maximum size of a document, as of the API.
const MAX_DOCUMENT_BYTES: u64 = 32 << 20;
/// How often the outcome of a watch is requested.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Time after the end of the watch in which its outcome must be known.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(30);

/// `margay apply`: shows what changes, asks, applies, and waits for the end of the watch.
pub fn apply(command: &ApplyCommand) -> Result<(), ClientError> {
    let client = AdminClient::new(&command.admin)?;
    let window = watch_window(&command.change)?;
    let name = command.file.display().to_string();
    let document = read(&command.file)?;
    let etag = client.get("/v1/config")?.etag;
    let report =
        client.post("/v1/diff", Some(&document)).map_err(|error| explained(error, &name, &document))?.body;
    let changes = lines(&report, "lines");
    if report.get("equal") == Some(&true.into()) && !command.change.save {
        output::write_stderr("margay: nothing changes for traffic\n");
        return print(command.admin.json, &report, "");
    }
    output::write_stderr(&changes);
    confirm(&command.change, "Apply this configuration?", command.file.as_os_str() == "-")?;
    let path = format!("/v1/config{}", query(&command.change));
    let applied =
        client.put(&path, &document, etag.as_deref()).map_err(|error| explained(error, &name, &document))?;
    finish(&client, &applied.body, &command.change, window, command.admin.json)
}

/// `margay rollback`.
pub fn rollback(command: &RollbackCommand) -> Result<(), ClientError> {
    let client = AdminClient::new(&command.admin)?;
    let window = watch_window(&command.change)?;
    let history = client.get("/v1/history")?.body;
    let entries = history.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
    let entry =
        entries.iter().find(|entry| entry.get("number").and_then(Value::as_u64) == Some(command.number));
    let Some(entry) = entry else {
        let message = format!("the history has no entry {}; `margay history` lists all", command.number);
        return Err(ClientError::Usage(message));
    };
    output::write_stderr(&format!(
        "margay: configuration {} of entry {}\n",
        cell("id", &entry["id"]),
        command.number
    ));
    confirm(&command.change, &format!("Return to the configuration of entry {}?", command.number), false)?;
    let path = format!("/v1/rollback/{}{}", command.number, query(&command.change));
    let applied = client.post(&path, None).map_err(|error| explained(error, "history", ""))?;
    finish(&client, &applied.body, &command.change, window, command.admin.json)
}

/// `margay drain` and `margay enable`.
pub fn set_endpoint(command: &EndpointCommand, action: &str) -> Result<(), ClientError> {
    let client = AdminClient::new(&command.admin)?;
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let path =
        format!("/v1/clusters/{}/endpoints/{}/{action}", encode(&command.cluster), encode(&command.endpoint));
    let page = client.post(&path, None)?.body;
    let health =
        page.get("endpoint").and_then(|endpoint| endpoint.get("health")).map(|value| cell("health", value));
    let state = health.unwrap_or_else(|| "no longer in the cluster".to_owned());
    print(command.admin.json, &page, &format!("{} {}: {state}\n", command.cluster, command.endpoint))
}

fn print(is_json: bool, page: &Value, text: &str) -> Result<(), ClientError> {
    output::write_stdout(&if is_json { format!("{page:#}\n") } else { text.to_owned() });
    Ok(())
}

fn read(path: &Path) -> Result<String, ClientError> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().lock().take(MAX_DOCUMENT_BYTES + 1).read_to_string(&mut text),
        _ => std::fs::File::open(path)
            .and_then(|file| file.take(MAX_DOCUMENT_BYTES + 1).read_to_string(&mut text)),
    };
    match read {
        Ok(length) if length as u64 <= MAX_DOCUMENT_BYTES => Ok(text),
        Ok(_) => Err(ClientError::Usage(format!("{} is larger than 32 MiB", path.display()))),
        Err(error) => Err(ClientError::Usage(format!("cannot read {}: {error}", path.display()))),
    }
}

/// Prints the diagnostics and the failed tests of a refusal.
fn explained(error: ClientError, name: &str, document: &str) -> ClientError {
    if let ClientError::Problem { problem, .. } = &error {
        output::write_stderr(&diagnostics_text(problem, name, document, settings::color_style()));
        for test in problem.get("tests").and_then(Value::as_array).into_iter().flatten() {
            output::write_stderr(&format!("test: {test:#}\n"));
        }
    }
    error
}

fn lines(page: &Value, member: &str) -> String {
    let lines = page.get(member).and_then(Value::as_array).into_iter().flatten();
    lines.map(|line| format!("{}\n", printable(line.as_str().unwrap_or_default()))).collect()
}

fn query(options: &ChangeOptions) -> String {
    let watch =
        options.watch.as_ref().map(|watch| format!("watch={}", utf8_percent_encode(watch, NON_ALPHANUMERIC)));
    let parts: Vec<String> = watch.into_iter().chain(options.save.then(|| "save=true".to_owned())).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

fn watch_window(options: &ChangeOptions) -> Result<Option<Duration>, ClientError> {
    let Some(text) = &options.watch else { return Ok(None) };
    match DurationText::from_text(text) {
        Ok(window) if (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&window.0) => {
            Ok(Some(window.0))
        }
        _ => Err(ClientError::Usage(format!(
            "invalid --watch {text}: must be a duration of 1s to 1h, such as 60s"
        ))),
    }
}

/// Asks on a terminal. Without one, the flag is the answer.
fn confirm(options: &ChangeOptions, question: &str, reads_input: bool) -> Result<(), ClientError> {
    if options.yes {
        return Ok(());
    }
    if reads_input || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(ClientError::Usage("not a terminal: pass --yes to apply without a question".to_owned()));
    }
    output::write_stderr(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let _ = io::stdin().lock().read_line(&mut answer);
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(ClientError::Declined),
    }
}

/// Reports an applied change, and waits for the end of its watch.
fn finish(
    client: &AdminClient,
    applied: &Value,
    options: &ChangeOptions,
    window: Option<Duration>,
    is_json: bool,
) -> Result<(), ClientError> {
    let (number, id) = (cell("number", &applied["number"]), cell("id", &applied["id"]));
    let save_error = applied.get("save_error").and_then(Value::as_str);
    if let Some(error) = save_error {
        output::write_stderr(&format!("margay: not saved: {}\n", printable(error)));
    }
    print(is_json, applied, &format!("applied configuration {id} as entry {number}\n"))?;
    let watched = window.filter(|_| !options.no_wait && applied.get("watching") == Some(&true.into()));
    match (watched, save_error) {
        (Some(window), _) => wait(client, applied["number"].as_u64().unwrap_or(0), window),
        (None, Some(_)) => {
            Err(ClientError::Unreachable("the configuration is applied, and not saved".to_owned()))
        }
        (None, None) => Ok(()),
    }
}

/// Waits for the outcome of a watch; a rollback is an error.
fn wait(client: &AdminClient, number: u64, window: Duration) -> Result<(), ClientError> {
    let (start, mut progress) = (Instant::now(), Progress::start("watching"));
    loop {
        std::thread::sleep(POLL_INTERVAL);
        let left = window.saturating_sub(start.elapsed());
        progress.step(&format!("watching, {}s left", left.as_secs()));
        let history = client.get("/v1/history")?.body;
        let entries = history.get("entries").and_then(Value::as_array).into_iter().flatten();
        let entry =
            entries.into_iter().find(|entry| entry.get("number").and_then(Value::as_u64) == Some(number));
        let outcome =
            entry.and_then(|entry| entry.get("outcome")).and_then(Value::as_str).unwrap_or("watching");
        if outcome != "watching" {
            progress.end();
            let reason = entry.map(|entry| cell("reason", &entry["reason"])).unwrap_or_default();
            let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
            let message = format!("entry {number} {}{reason}", outcome.replace('_', " "));
            return match outcome {
                "rolled_back" | "interrupted" | "rejected" => Err(ClientError::Unreachable(message)),
                _ => {
                    output::write_stderr(&format!("margay: {message}\n"));
                    Ok(())
                }
            };
        }
        if start.elapsed() > window + OUTCOME_TIMEOUT {
            return Err(ClientError::Unreachable(format!(
                "entry {number} has no outcome yet; see `margay history`"
            )));
        }
    }
}
