//! A JSON Web Token before its signature is verified.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::base::compact_jws::TokenParts;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parts) = TokenParts::split(bytes) {
        assert!(bytes.starts_with(parts.message));
        let _ = parts.claims();
    }
});
