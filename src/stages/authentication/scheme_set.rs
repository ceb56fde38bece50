//! The schemes of a document, which the options of routes name.

use super::settings::SchemeConfig;
use std::{collections::HashMap, sync::Arc};

/// The schemes of a document by name.
#[derive(Clone, Debug, Default)]
pub struct SchemeSet {
    /// All names, those of invalid schemes included.
    pub(super) names: Vec<String>,
    pub(super) valid: HashMap<String, Arc<SchemeConfig>>,
}

impl SchemeSet {
    /// The valid scheme of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<SchemeConfig>> {
        self.valid.get(name)
    }
}
