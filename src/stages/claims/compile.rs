//! Maps of claims → claim sources.

use super::{ClaimMapping, ClaimSource};
use crate::config::values::StringList;
use crate::config::{Diagnostics, OcelotBehavior, OcelotTolerated, codes};

/// The valid entries; the others, which Ocelot ignores, are reported.
pub fn compile_mappings(
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
        let message = format!("invalid claim expression \"{text}\" in {setting}");
        OcelotTolerated::new(
            codes::BAD_CLAIM_SOURCE,
            OcelotBehavior::Effect("the entry is ignored"),
            message,
        )
        .help("expected Claims[type] > value, or Claims[type] > value[0] > |")
        .report(diagnostics, ocelot, span);
    }
    entries
}
