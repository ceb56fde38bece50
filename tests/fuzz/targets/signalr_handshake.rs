//! Handshakes of SignalR clients, and what follows them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::realtime::protocols::signalr::{Decoded, Decoder, handshake};

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    if let Ok(Some(first)) = decoder.next(1 << 16) {
        let end = bytes.iter().position(|byte| *byte == 0x1e).expect("a handshake ends with a separator");
        assert_eq!(handshake(&bytes[..end]).map(Decoded::Handshake), Ok(first));
    }
    while let Ok(Some(_)) = decoder.next(1 << 16) {}
});
