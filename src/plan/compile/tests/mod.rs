//! The rules, one by one: the diagnostics of each, and their spans.

use super::compile;
use crate::config::{Environment, InMemoryFiles, Loaded, Severity};
use crate::plan::blueprint::Blueprint;
use crate::plan::document::load_texts;

mod administration;
mod admission;
mod aggregates;
mod arbitrary;
mod balancing;
mod attempts;
mod caching;
mod cases;
mod clusters;
mod compression;
mod discovery;
mod fabric;
mod fallback;
mod features;
mod hubs;
mod signalr;
mod listeners;
mod options;
mod own;
mod routes;
mod shaping;
mod shared_state;
mod schemes;
mod telemetry;
mod tunnels;
mod waf;
mod whole;

fn load(text: &str, ocelot: bool) -> Loaded {
    let files = [("gateway.json", text)];
    load_texts(
        &InMemoryFiles { files: &files, ocelot, ..InMemoryFiles::default() },
        Environment::of_process(),
    )
}

/// Errors as `MG0301 text` and warnings as `(MG0301) text`, where the text is the source at the span.
fn reported(text: &str, ocelot: bool) -> Vec<String> {
    let mut loaded = load(text, ocelot);
    let blueprint = compile(&mut loaded);
    assert_eq!(blueprint.is_some(), !loaded.diagnostics.has_errors());
    let sorted = loaded.diagnostics.sorted();
    let line = |d: &&crate::config::Diagnostic| {
        let place = d.span.map_or("", |span| &text[span.start as usize..span.end as usize]);
        match d.severity {
            Severity::Error => format!("{} {place}", d.code.0),
            Severity::Warning => format!("({}) {place}", d.code.0),
        }
    };
    sorted.iter().map(line).collect()
}

/// A document with one valid route, in which settings are added or replaced.
fn with(settings: &str) -> String {
    document(&route(settings), "{}")
}

fn route(settings: &str) -> String {
    let mut all = vec![settings.to_owned()];
    for (name, value) in [
        ("UpstreamPathTemplate", r#""/a/{x}""#),
        ("DownstreamPathTemplate", r#""/b/{x}""#),
        ("DownstreamScheme", r#""http""#),
        ("DownstreamHostAndPorts", r#"[{ "Host": "localhost", "Port": 80 }]"#),
    ] {
        if !settings.contains(&format!("\"{name}\"")) {
            all.push(format!("\"{name}\": {value}"));
        }
    }
    all.retain(|setting| !setting.is_empty());
    format!("{{ {} }}", all.join(", "))
}

fn document(routes: &str, global: &str) -> String {
    format!(r#"{{ "Routes": [{routes}], "GlobalConfiguration": {global} }}"#)
}

fn valid(text: &str, ocelot: bool) -> Blueprint {
    let mut loaded = load(text, ocelot);
    compile(&mut loaded).unwrap_or_else(|| panic!("{:?}", loaded.diagnostics.list))
}

/// The diagnostics of one route, in our mode and under Ocelot.
fn both(settings: &str) -> (Vec<String>, Vec<String>) {
    let text = with(settings);
    (reported(&text, false), reported(&text, true))
}

/// An error in both modes.
fn always(settings: &str, expected: &str) {
    assert_eq!(both(settings), (vec![expected.to_owned()], vec![expected.to_owned()]), "{settings}");
}

/// An error in our mode, a warning under Ocelot.
fn lenient(settings: &str, expected: &str) {
    let (code, place) = expected.split_once(' ').expect("code and place");
    assert_eq!(both(settings), (vec![expected.to_owned()], vec![format!("({code}) {place}")]), "{settings}");
}

/// No diagnostics in either mode.
fn quiet(settings: &str) {
    assert_eq!(both(settings), (vec![], vec![]), "{settings}");
}

/// The status of requests for a route under Ocelot.
fn status(settings: &str) -> Option<u16> {
    valid(&with(settings), true).routes[0].broken.as_ref().map(|broken| broken.status)
}
