//! `margay show`: the effective configuration: files merged, policies and global options resolved for each route, defaults
//! filled in, secrets masked.

mod defaults;
mod resolve;
mod schema;

use super::args::Show;
use super::{Exit, format, output, settings};
use crate::control::candidate::Candidate;
use crate::control::effective::EffectiveConfig;
use crate::stages::custom::StageRegistry;
use serde_json::{Value, json};

/// Objects down to this depth are on several lines.
const EXPANDED_DEPTH: usize = 3;

/// Reads, checks and prints; a configuration with errors is reported as by `check`.
pub(super) fn run(arguments: &Show, stages: &StageRegistry) -> Exit {
    let mut configuration = arguments.configuration.clone();
    configuration.config.extend(arguments.files.iter().cloned());
    let candidate = Candidate::read(&settings::request(&configuration), stages);
    if candidate.blueprint.is_none() {
        output::write_stderr(&candidate.report(settings::color_style()));
        return Exit::Invalid;
    }
    let mut effective = EffectiveConfig::new(&candidate.loaded);
    resolve::resolve(&mut effective);
    if !arguments.no_defaults {
        defaults::fill(&mut effective, candidate.loaded.ocelot);
    }
    let shown = match &arguments.route {
        None => Some((effective.config.clone(), String::new())),
        Some(name) => route(&effective.config, name),
    };
    let Some((value, pointer)) = shown else {
        let name = arguments.route.as_deref().unwrap_or_default();
        return Exit::failed(&format!("no route with the Key or path \"{name}\""));
    };
    output::write_stdout(&text(arguments, &value, &pointer, &effective));
    Exit::Done
}

fn text(arguments: &Show, value: &Value, pointer: &str, effective: &EffectiveConfig) -> String {
    let origin =
        |inner: &str| effective.origins.get(&format!("{pointer}{inner}"))?.as_str().map(str::to_owned);
    match (arguments.json, arguments.origins) {
        (true, true) => {
            let inside = effective
                .origins
                .iter()
                .filter_map(|(at, origin)| Some((at.strip_prefix(pointer)?.to_owned(), origin.clone())));
            let origins: serde_json::Map<String, Value> = inside.collect();
            format!("{:#}\n", json!({ "config": value, "origins": origins }))
        }
        (true, false) => format!("{value:#}\n"),
        (false, true) => format::format_annotated(value, EXPANDED_DEPTH, &origin),
        (false, false) => format::format_value(value, EXPANDED_DEPTH),
    }
}

/// The route with this key or path, and its JSON pointer.
fn route(config: &Value, name: &str) -> Option<(Value, String)> {
    let (section, routes) = schema::member(config, "Routes")?;
    let is_named = |route: &&Value| {
        ["Key", "UpstreamPathTemplate"].iter().any(|setting| {
            schema::member(route, setting).is_some_and(|(_, value)| value.as_str() == Some(name))
        })
    };
    let routes = routes.as_array()?;
    let at = routes.iter().position(|route| is_named(&route))?;
    Some((routes[at].clone(), format!("/{section}/{at}")))
}
