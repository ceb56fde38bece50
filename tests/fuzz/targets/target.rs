//! A request target: what is normalised stays as it is when it is normalised again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::plan::routing::Target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(once) = Target::normalise(bytes, false) {
        let again = Target::normalise(once.text(), false);
        assert_eq!(again.as_ref().map(Target::path), Ok(once.path()));
    }
});
