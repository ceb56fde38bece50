//! The result of an import: the configuration of its parts, and their counts.

use super::report::Report;
use serde_json::{Map, Value, json};

/// The configuration of these parts. The report counts them after what `source` counts.
pub fn assemble(
    source: &[(&'static str, usize)],
    (routes, clusters, schemes): (Vec<Value>, Map<String, Value>, Map<String, Value>),
    report: &mut Report,
) -> Value {
    report.counts = [
        source,
        &[("routes", routes.len()), ("clusters", clusters.len()), ("authentication schemes", schemes.len())],
    ]
    .concat();
    let mut document = json!({ "Routes": routes, "Clusters": clusters });
    if !schemes.is_empty() {
        document["AuthenticationSchemes"] = schemes.into();
    }
    document
}
