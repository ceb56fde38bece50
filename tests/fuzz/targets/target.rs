//! A request target: normalization is idempotent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::plan::routing::Target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(once) = Target::normalize(bytes, false) {
        let again = Target::normalize(once.text(), false);
        assert_eq!(again.as_ref().map(Target::path), Ok(once.path()));
    }
});
