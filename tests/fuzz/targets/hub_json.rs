//! A message of a client of a JSON subprotocol: text and bytes mean the same, and what is published again is JSON.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use margay::realtime::{
    message::{ClientMessage, Encoding, Origin, Publication},
    protocols::{Subprotocol, decode, encode_publication},
};

fuzz_target!(|bytes: &[u8]| {
    let frame = Bytes::copy_from_slice(bytes);
    let message = decode(Subprotocol::Json, true, &frame);
    assert_eq!(decode(Subprotocol::JsonReliable, false, &frame), message);
    if let Ok(ClientMessage::SendToGroup { group, payload, .. }) = message {
        let origin = Origin::Group { group: (*group).into(), from_user: None };
        let publication = Publication::new(origin, payload);
        let encoded = encode_publication(Encoding::Json, &publication);
        serde_json::from_slice::<serde::de::IgnoredAny>(&encoded.body).expect("published data is JSON");
    }
});
