//! Payloads whose content matches their kind.

use super::{json_text::checked_json, message::Payload};
use bytes::Bytes;
use prost::Message;

/// The fields of `google.protobuf.Any`, to validate one.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// Text, if the bytes are UTF-8.
pub fn text_payload(bytes: Bytes) -> Result<Payload, String> {
    match std::str::from_utf8(&bytes) {
        Ok(_) => Ok(Payload::Text(bytes)),
        Err(_) => Err("the text is not valid UTF-8".to_owned()),
    }
}

/// JSON, if the bytes are one JSON value.
pub fn json_payload(bytes: Bytes) -> Result<Payload, String> {
    checked_json(&bytes)?;
    Ok(Payload::Json(bytes))
}

/// Protobuf, if the bytes are a serialized `google.protobuf.Any`.
pub fn protobuf_payload(bytes: Bytes) -> Result<Payload, String> {
    match Any::decode(&*bytes) {
        Ok(_) => Ok(Payload::Protobuf(bytes)),
        Err(_) => Err("expected a serialized google.protobuf.Any".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_matches_the_kind() {
        assert!(text_payload(Bytes::from("é")).is_ok());
        assert!(text_payload(Bytes::from_static(b"\xff")).is_err());
        assert!(json_payload(Bytes::from_static(b"{\"a\":")).is_err());
        assert!(protobuf_payload(Bytes::from_static(b"\xff")).is_err());
        assert!(protobuf_payload(Bytes::from_static(&[0x0a, 1, 0x78, 0x12, 1, 7])).is_ok());
    }
}
