//! Messages of SignalR clients in both protocols, cut at any place, and the results of event handlers.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use margay::realtime::protocols::signalr::{
    Decoder, HubProtocol, is_json_completion, is_message_pack_completion,
};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    for protocol in [HubProtocol::Json, HubProtocol::MessagePack] {
        let mut whole = Decoder::with_protocol(protocol);
        whole.push(bytes);
        let mut expected = Vec::new();
        while let Ok(Some(message)) = whole.next(1 << 16) {
            expected.push(message);
        }
        let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
        let mut parts = Decoder::with_protocol(protocol);
        let mut messages = Vec::new();
        for part in [first, second] {
            parts.push(part);
            while let Ok(Some(message)) = parts.next(1 << 16) {
                messages.push(message);
            }
        }
        assert!(messages.starts_with(&expected), "a cut changes no message");
    }
    let _ = is_json_completion(bytes, "1");
    let _ = is_message_pack_completion(&Bytes::copy_from_slice(bytes), "1");
});
