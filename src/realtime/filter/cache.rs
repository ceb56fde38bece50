//! Compiled filters by their text: servers repeat the same ones.

use super::{error::FilterError, filter::Filter};
use moka::sync::Cache;
use std::sync::Arc;

/// Maximum size of all cached texts in bytes.
const CACHE_CAPACITY: u64 = 256 << 10;

/// A bounded cache of compiled filters.
#[derive(Debug)]
pub struct FilterCache(Cache<Arc<str>, Arc<Filter>>);

impl Default for FilterCache {
    fn default() -> FilterCache {
        let weight = |text: &Arc<str>, _: &Arc<Filter>| u32::try_from(text.len()).unwrap_or(u32::MAX);
        FilterCache(Cache::builder().max_capacity(CACHE_CAPACITY).weigher(weight).build())
    }
}

impl FilterCache {
    /// The compiled filter; invalid ones are not cached.
    pub fn compile(&self, text: &str) -> Result<Arc<Filter>, FilterError> {
        if let Some(filter) = self.0.get(text) {
            return Ok(filter);
        }
        let filter = Arc::new(Filter::parse(text)?);
        self.0.insert(text.into(), filter.clone());
        Ok(filter)
    }
}
