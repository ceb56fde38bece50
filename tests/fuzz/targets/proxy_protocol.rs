//! The header of the PROXY protocol, whole and cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::net::proxy_protocol::{Parsed, parse};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    if let Ok(Parsed::Header { length, .. }) = whole {
        assert!(length <= bytes.len());
        assert_eq!(parse(&bytes[..length]), whole);
    }
});
