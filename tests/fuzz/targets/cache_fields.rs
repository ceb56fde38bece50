//! Fields that the cache reads: dates and byte ranges.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::stages::cache::{
    dates,
    ranges::{self, RangeRequest},
};

fuzz_target!(|data: (&[u8], u64)| {
    let (field, length) = data;
    if let RangeRequest::Ranges(all) = ranges::parse(field, length) {
        assert!(!all.is_empty() && all.iter().all(|(from, to)| from < to && *to <= length));
    }
    let _ = dates::parse(field, 1_790_000_000);
});
