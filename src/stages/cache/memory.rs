//! The section `Cache` → the memory limits of the cache.

use super::{memory_config::MemoryConfig, options::CacheDocument};
use crate::{
    base::units::SizeText,
    config::{Diagnostics, Spanned, codes, values::Setting},
};

const MIN_MEMORY: u64 = 1 << 20;
const MAX_MEMORY: u64 = 1 << 40;

/// The memory for stored responses, each limit within its range.
pub fn compile_memory(
    document: Option<&CacheDocument>,
    has_shared_state: bool,
    diagnostics: &mut Diagnostics,
) -> MemoryConfig {
    let defaults = MemoryConfig::default();
    let Some(document) = document else { return defaults };
    let size = read_size(&document.max_size, "MaxSize", MIN_MEMORY..=MAX_MEMORY, diagnostics)
        .unwrap_or(defaults.size);
    let regions = read_regions(document, diagnostics);
    let taken: u64 = regions.iter().map(|(_, bytes)| bytes).sum();
    let are_too_large = taken.saturating_add(MIN_MEMORY) > size;
    if are_too_large {
        let span = document.regions.as_ref().map(|regions| regions.span);
        let message = format!("the regions reserve {taken} bytes, but MaxSize is {size}");
        diagnostics
            .error(codes::CACHE_SIZE, span, message)
            .help("raise Cache.MaxSize, and leave 1MiB for all other regions");
    }
    // Regions that do not fit say nothing about the size of an object.
    let rest = size.saturating_sub(taken);
    let smallest = regions.iter().map(|(_, bytes)| *bytes).chain([rest]).min().filter(|_| !are_too_large);
    let quarter = (smallest.unwrap_or(size) / 4).max(1);
    let largest = read_size(&document.max_object_size, "MaxObjectSize", 1..=quarter, diagnostics);
    let max_object_size = largest.unwrap_or(defaults.max_object_size.min(quarter));
    MemoryConfig {
        size,
        max_object_size,
        regions,
        is_shared: is_shared(document, has_shared_state, diagnostics),
    }
}

/// The regions with their own memory.
fn read_regions(document: &CacheDocument, diagnostics: &mut Diagnostics) -> Vec<(String, u64)> {
    let mut regions = Vec::new();
    for (name, region) in document.regions.iter().flat_map(|regions| regions.value.iter()) {
        match read_size(&region.max_size, "MaxSize", MIN_MEMORY..=MAX_MEMORY, diagnostics) {
            Some(bytes) => regions.push((name.value.clone(), bytes)),
            None if region.max_size.is_none() => {
                let message = format!("the region \"{}\" has no MaxSize", name.value);
                diagnostics
                    .error(codes::CACHE_SIZE, region.span, message)
                    .help("set one, such as \"MaxSize\": \"64MiB\"");
            }
            None => {}
        }
    }
    regions
}

/// Whether several gateways share the responses; needs a shared state.
fn is_shared(document: &CacheDocument, has_shared_state: bool, diagnostics: &mut Diagnostics) -> bool {
    let Some(shared) = document.shared.as_ref().filter(|shared| shared.value) else { return false };
    if !has_shared_state {
        diagnostics
            .error(codes::NO_SHARED_STATE, shared.span, "Cache.Shared without SharedState")
            .help("add the section: \"SharedState\": { \"Url\": \"redis://127.0.0.1:6379\" }");
    }
    true
}

fn read_size(
    set: &Setting<SizeText>,
    name: &str,
    range: std::ops::RangeInclusive<u64>,
    diagnostics: &mut Diagnostics,
) -> Option<u64> {
    let Spanned { value: SizeText(bytes), span } = set.as_ref()?;
    if range.contains(bytes) {
        return Some(*bytes);
    }
    let message = format!("{name} is {bytes} bytes");
    let (min, max) = (SizeText(*range.start()), SizeText(*range.end()));
    diagnostics.error(codes::CACHE_SIZE, *span, message).help(format!("must be between {min} and {max}"));
    None
}
