//! The rules of claims: where they come from, and what a route asks of them.

use super::{OcelotBehavior, OcelotTolerated};
use crate::config::{Diagnostics, codes};
use crate::plan::document::StringList;
use crate::stages::claims::{ClaimMapping, ClaimSource};

/// The entries that mean something; those that Ocelot ignores are told.
pub fn valid_entries(
    diagnostics: &mut Diagnostics,
    ocelot: bool,
    setting: &str,
    map: &StringList,
) -> Vec<ClaimMapping> {
    let mut entries = Vec::new();
    for (key, value) in map.iter().flat_map(|map| map.iter()) {
        let text = value.as_ref().map_or("", |value| value.as_str());
        if let Some(source) = ClaimSource::parse(text) {
            entries.push((key.as_str().into(), source));
            continue;
        }
        let span = value.as_ref().map_or(key.span, |value| value.span);
        let message = format!("{setting}: \"{text}\" does not name a claim");
        OcelotTolerated::new(
            codes::BAD_CLAIM_SOURCE,
            OcelotBehavior::Effect("the entry is ignored"),
            message,
        )
        .help("write Claims[type] > value, or Claims[type] > value[0] > |")
        .report(diagnostics, ocelot, span);
    }
    entries
}
