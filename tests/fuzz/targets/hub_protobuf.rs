//! A message of a client of a protobuf subprotocol: what is published again is JSON for JSON receivers.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use margay::realtime::{
    message::{ClientMessage, Encoding, Origin, Publication},
    protocols::{Subprotocol, decode, encode_publication, envelope},
};

fuzz_target!(|bytes: &[u8]| {
    let frame = Bytes::copy_from_slice(bytes);
    assert!(decode(Subprotocol::Protobuf, true, &frame).is_err(), "a text frame");
    let message = decode(Subprotocol::Protobuf, false, &frame);
    if let Ok(ClientMessage::SendToGroup { payload, .. } | ClientMessage::Event { payload, .. }) = message {
        let publication = Publication::new(Origin::Server, payload);
        let json = encode_publication(Encoding::Json, &publication);
        serde_json::from_slice::<serde::de::IgnoredAny>(&json.body).expect("published data is JSON");
        let protobuf = encode_publication(Encoding::Protobuf, &publication);
        let around = envelope(Subprotocol::ProtobufReliable, protobuf.body.len(), u64::MAX);
        assert_eq!((around.skip, around.suffix.len()), (0, 11));
    }
});
