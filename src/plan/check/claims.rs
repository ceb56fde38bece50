//! The rules of claims: where they come from, and what a route asks of them.

use super::{Outcome, Wrong};
use crate::config::document::Texts;
use crate::config::{Diagnostics, codes};
use crate::stages::claims::{ClaimSource, Entry};

/// The entries that mean something; those that Ocelot ignores are told.
pub fn entries(out: &mut Diagnostics, ocelot: bool, setting: &str, map: &Texts) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (key, value) in map.iter().flat_map(|map| map.iter()) {
        let text = value.as_ref().map_or("", |value| value.as_str());
        if let Some(source) = ClaimSource::parse(text) {
            entries.push((key.as_str().into(), source));
            continue;
        }
        let span = value.as_ref().map_or(key.span, |value| value.span);
        let message = format!("{setting}: \"{text}\" does not name a claim");
        Wrong::new(codes::BAD_CLAIM_SOURCE, Outcome::Does("the entry is ignored"), message)
            .help("write Claims[type] > value, or Claims[type] > value[0] > |")
            .report(out, ocelot, span);
    }
    entries
}
