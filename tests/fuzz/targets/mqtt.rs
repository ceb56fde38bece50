//! MQTT packets: any bytes are decoded or refused, and the pieces in which they arrive do not matter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::net::mqtt::decode;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some((packet, length))) = decode(bytes, 1 << 16) else { return };
    assert!(length <= bytes.len());
    assert_eq!(decode(&bytes[..length], 1 << 16), Ok(Some((packet, length))));
    assert_eq!(decode(&bytes[..length - 1], 1 << 16), Ok(None));
});
