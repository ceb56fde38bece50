//! Services with partitions: addresses of replicas, responses of a naming interface, files of a registry.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::backend::fabric::{
    address::ReplicaAddress,
    cluster::answers::{error_code, parse_page, parse_resolved, resolve_error},
    name::{after_segments, name_segments},
    registry::read_registry,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = ReplicaAddress::parse(text);
    }
    let _ = parse_resolved(bytes);
    let _ = parse_page(bytes);
    let _ = resolve_error(404, error_code(bytes).as_deref());
    let _ = read_registry(bytes);
    let count = name_segments(bytes).count();
    assert!(after_segments(bytes, count).len() <= bytes.len());
});
