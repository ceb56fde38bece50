//! The public words are those of the field: no registry and no document uses a word that one of them replaced, and the
//! terms that an engineer searches for lead to a file.

use margay::pipeline::error::ErrorCode;
use margay::plan::document::Document;
use margay::stages::TABLE;
use margay::telemetry::export::names;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The words before 0.1.0, by the registry that had them.
const OLD_CODES: &[&str] = &[
    "request.switch",
    "request.flood",
    "request.accept",
    "proxy.late",
    "route.none",
    "route.broken",
    "route.unserved",
    "access.address",
    "access.origin",
    "access.expression",
    "limit.exceeded",
    "limit.client",
    "limit.tunnels",
    "limit.queue",
    "identity.early",
    "identity.unknown",
    "identity.provider",
    "cache.only",
    "client.gone",
    "client.limit",
    "gateway.limit",
    "backend.none",
    "backend.name",
    "backend.connect.timeout",
    "backend.breaker",
    "backend.busy",
    "backend.switch",
    "backend.body",
    "gateway.fault",
];
const OLD_METRICS: &[&str] = &[
    "margay_refused_total",
    "margay_stage_total",
    "margay_breaker_total",
    "margay_cache_total",
    "margay_compression_total",
    "margay_http2_refused_total",
    "margay_tunnels",
    "margay_tunnels_opened_total",
    "margay_tunnel_bytes_total",
    "margay_plan_since_seconds",
    "margay_plan_info",
    "margay_reloads_total",
    "margay_discovery_heard_seconds",
    "margay_tls_certificate_not_after_seconds",
    "margay_endpoint_up",
    "margay_endpoint_probes_total",
];
const OLD_LABELS: &[&str] = &["code_class", "why", "to"];
const OLD_OUTCOMES: &[&str] = &["replied", "refused", "waited", "validated", "good", "bad", "late"];
const OLD_STAGES: &[&str] =
    &["addresses", "tunnels", "forwarded", "method", "headers", "handler", "preflight"];
const OLD_LOG_KEYS: &[&str] = &["ms_total", "ms_backend", "why", "client"];
const OLD_ADMIN_KEYS: &[&str] =
    &["used", "why", "known", "secondsLeft", "inFlight", "requestId", "forgotten"];
const OLD_ROWS: &[&str] = &["not", "service", "found", "sends", "answer"];
const OLD_SETTINGS: &[&str] = &["MaxTunnelsPerClient", "TunnelIdleTimeout"];

/// Words that are the field's own in another place: (document, word, what it is there).
const OTHER_MEANINGS: &[(&str, &str, &str)] = &[
    ("docs/configuration.md", "method", "a variable of conditions"),
    ("docs/configuration.md", "headers", "a variable of conditions"),
    ("docs/configuration.md", "client", "a variable of conditions"),
    ("docs/telemetry.md", "client", "a side of a connection"),
    ("docs/policy-statements.md", "addresses", "an attribute of ip-filter"),
    ("docs/policy-statements.md", "method", "an attribute of send-request"),
    ("docs/telemetry.md", "to", "the receiver of bytes, and the endpoint of a traffic rule"),
    ("docs/telemetry.md", "refused", "an outcome of connections of agents and devices"),
    ("docs/policy-statements.md", "to", "an attribute of find-and-replace"),
    ("docs/telemetry.md", "method", "a field of the access log"),
    ("docs/telemetry.md", "service", "a field of the access log"),
    ("docs/service-fabric.md", "service", "a field of the access log"),
    ("docs/transformation.md", "method", "a variable of conditions"),
    ("docs/transformation.md", "headers", "a variable of conditions"),
    ("docs/transformation.md", "client", "a variable of conditions"),
];

/// Old words that a source file has with another meaning: the file, the word, and its meaning there.
const OTHER_MEANINGS_IN_CODE: &[(&str, &str, &str)] = &[
    ("src/telemetry/forwarding.rs", "to", "the receiver of bytes, and the endpoint of a traffic rule"),
    ("src/telemetry/agents/families.rs", "to", "the receiver of bytes"),
    ("src/telemetry/agents/export.rs", "to", "the receiver of bytes"),
    ("src/telemetry/agents/mod.rs", "refused", "an outcome of connections of agents and devices"),
];

/// What an engineer searches for, and the words of a path or of a module's documentation that answer it.
const TERMS: &[&str] = &[
    "round robin",
    "least request",
    "consistent hash",
    "peak EWMA",
    "sticky",
    "outlier detection",
    "health check",
    "discovery",
    "connection pool",
    "keep-alive",
    "hop-by-hop",
    "retry",
    "retry budget",
    "backoff",
    "circuit breaker",
    "half-open",
    "fallback",
    "rate limit",
    "token bucket",
    "fixed window",
    "concurrency limit",
    "CORS",
    "JWT",
    "API key",
    "HSTS",
    "SNI",
    "PROXY protocol",
    "Unix domain socket",
    "WebSocket",
    "HTTP/2",
    "gRPC",
    "trailers",
    "DNS",
    "compression",
    "request coalescing",
    "stale",
    "vary",
    "trace context",
    "access log",
    "graceful shutdown",
    "reload",
    "IP filter",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every file below a folder, relative to the repository.
fn files(folder: &str) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path.strip_prefix(root()).unwrap().to_owned()),
            }
        }
    }
    files
}

/// The texts in quotes of a source file, without comments and tests.
fn literals(path: impl AsRef<Path>) -> BTreeSet<String> {
    let text = read(path);
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn literals_below(folder: &str) -> BTreeSet<String> {
    let code = files(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let code = code.filter(|path| !path.to_string_lossy().contains("tests"));
    code.flat_map(|path| {
        let mut words = literals(&path);
        words.retain(|word| {
            !OTHER_MEANINGS_IN_CODE.iter().any(|(at, other, _)| path == Path::new(at) && other == word)
        });
        words
    })
    .collect()
}

#[track_caller]
fn has_none(registry: &str, words: &BTreeSet<String>, old: &[&str]) {
    let found: Vec<_> = old.iter().filter(|old| words.contains(**old)).collect();
    assert!(!words.is_empty(), "{registry} is empty");
    assert!(found.is_empty(), "{registry} still has {found:?}");
}

#[test]
fn error_codes_are_the_field_s_words() {
    has_none("ErrorCode", &ErrorCode::ALL.iter().map(|code| code.name().to_owned()).collect(), OLD_CODES);
}

#[test]
fn metrics_and_labels_are_the_field_s_words() {
    has_none("the metrics", &names().collect(), OLD_METRICS);
    let telemetry = literals_below("src/telemetry");
    has_none("src/telemetry", &telemetry, OLD_LABELS);
    has_none("src/telemetry", &telemetry, OLD_OUTCOMES);
}

#[test]
fn stages_are_named_by_the_field_s_words() {
    has_none("the table of stages", &TABLE.iter().map(|stage| stage.name.to_owned()).collect(), OLD_STAGES);
}

#[test]
fn keys_of_the_access_log_are_the_field_s_words() {
    has_none("src/telemetry/record.rs", &literals("src/telemetry/record.rs"), OLD_LOG_KEYS);
}

#[test]
fn keys_of_the_administration_are_the_field_s_words() {
    has_none("src/control", &literals_below("src/control"), OLD_ADMIN_KEYS);
    has_none("src/backend/status.rs", &literals("src/backend/status.rs"), OLD_ADMIN_KEYS);
}

#[test]
fn rows_of_explain_are_the_field_s_words() {
    let mut rows = BTreeSet::new();
    for page in
        files("tests/golden/explain").iter().filter(|path| path.extension().is_some_and(|e| e == "txt"))
    {
        let heads = read(page);
        let heads = heads.lines().filter(|line| !line.starts_with([' ', '$']));
        rows.extend(heads.map(|line| line.split("  ").next().unwrap_or_default().to_owned()));
    }
    has_none("explain", &rows, OLD_ROWS);
}

#[test]
fn settings_are_the_field_s_words() {
    let schema = schemars::schema_for!(Document).to_value();
    let definitions = schema["$defs"].as_object().unwrap().values();
    let keys = definitions.filter_map(|of| of["properties"].as_object()).flat_map(|all| all.keys().cloned());
    has_none("the settings", &keys.collect(), OLD_SETTINGS);
}

#[test]
fn no_document_has_an_old_word_in_backticks() {
    let old = [OLD_CODES, OLD_METRICS, OLD_LABELS, OLD_OUTCOMES, OLD_STAGES, OLD_LOG_KEYS, OLD_ADMIN_KEYS];
    let old: BTreeSet<&str> = old.into_iter().chain([OLD_ROWS, OLD_SETTINGS]).flatten().copied().collect();
    let mut found = Vec::new();
    let pages = files("docs").into_iter().chain(["README.md".into(), "ARCHITECTURE.md".into()]);
    for page in pages.filter(|page| page.extension().is_some_and(|e| e == "md")) {
        let page = page.to_string_lossy().into_owned();
        for (at, line) in read(&page).lines().enumerate() {
            for word in line.split('`').skip(1).step_by(2).filter(|word| old.contains(word)) {
                if !OTHER_MEANINGS.iter().any(|(at, other, _)| *at == page && *other == word) {
                    found.push(format!("{page}:{}: `{word}`", at + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Lower case, words separated by single spaces.
fn plain(text: &str) -> String {
    let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" ").to_lowercase())
}

/// A file's path and the comment at its head.
fn subject(path: &Path) -> String {
    let text = read(path);
    let head: Vec<_> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    plain(&format!("{} {}", path.display(), head.join(" ")))
}

#[test]
fn a_term_of_the_field_leads_to_a_file() {
    let code = files("src").into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let subjects: Vec<String> = code.map(|path| subject(&path)).collect();
    let leads = |term: &&str| subjects.iter().any(|subject| subject.contains(plain(term).trim_end()));
    let lost: Vec<_> = TERMS.iter().filter(|term| !leads(term)).collect();
    assert!(TERMS.len() >= 30 && lost.is_empty(), "no path and no module of src/ names {lost:?}");
}
