//! Ids of entities: matched without regard to case, with suggestions.

use super::{Diagnostics, Span, codes, suggest};
use std::collections::HashMap;

/// Known ids.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    by_lower: HashMap<String, String>,
}

impl Ids {
    /// These ids.
    pub fn new<'i>(ids: impl Iterator<Item = &'i str>) -> Ids {
        Ids { by_lower: ids.map(|id| (id.to_lowercase(), id.to_owned())).collect() }
    }

    /// The id as it was declared.
    pub fn get(&self, id: &str) -> Option<&str> {
        self.by_lower.get(&id.trim().to_lowercase()).map(String::as_str)
    }

    /// The nearest id.
    pub fn near(&self, id: &str) -> Option<&str> {
        let mut names: Vec<&str> = self.by_lower.values().map(String::as_str).collect();
        names.sort_unstable();
        suggest::closest_match(id, names)
    }
}

/// Reports the id of an entity that does not exist.
pub fn report_unknown(kind: &str, id: &str, span: Span, known: &Ids, diagnostics: &mut Diagnostics) {
    let diagnostic = diagnostics.error(codes::UNKNOWN_ENTITY, span, format!("unknown {kind} \"{id}\""));
    match known.near(id) {
        Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
        None => diagnostic.help(format!("there is no {kind} with this id")),
    };
}
