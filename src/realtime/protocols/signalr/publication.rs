//! Published messages, as all receivers of a protocol share them.
//!
//! A JSON payload is an invocation of a method of the clients: the complete message in JSON, without its record separator.
//! Other payloads are messages to one client that have their frame already.

use super::{HubProtocol, encode};
use crate::realtime::message::{EncodedMessage, Payload};
use rmp::encode as pack;
use serde::Deserialize;
use serde_json::Value;

/// The part of an invocation that MessagePack needs.
#[derive(Deserialize)]
struct Invocation {
    target: String,
    arguments: Vec<Value>,
}

/// The message with its frame.
pub fn encode_publication(protocol: HubProtocol, payload: &Payload) -> EncodedMessage {
    let is_text = protocol == HubProtocol::Json;
    let body = match (payload, protocol) {
        (Payload::Json(text), HubProtocol::Json) => encode::json_record(text).into(),
        (Payload::Json(text), HubProtocol::MessagePack) => message_pack(text).into(),
        (Payload::Text(framed) | Payload::Binary(framed) | Payload::Protobuf(framed), _) => framed.clone(),
    };
    EncodedMessage { is_text, body }
}

/// Integers stay integers; other numbers become 64-bit floats.
fn message_pack(text: &[u8]) -> Vec<u8> {
    // The data plane accepts only such texts.
    let Ok(invocation) = serde_json::from_slice::<Invocation>(text) else { return Vec::new() };
    encode::framed(|body| {
        // Writing to a vector cannot fail.
        let _ = pack::write_array_len(body, 6);
        let _ = pack::write_uint(body, 1);
        let _ = pack::write_map_len(body, 0);
        let _ = pack::write_nil(body);
        let _ = pack::write_str(body, &invocation.target);
        put_list(body, &invocation.arguments);
        let _ = pack::write_array_len(body, 0);
    })
}

fn put_list(body: &mut Vec<u8>, values: &[Value]) {
    let _ = pack::write_array_len(body, u32::try_from(values.len()).unwrap_or(u32::MAX));
    values.iter().for_each(|value| put_value(body, value));
}

fn put_value(body: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => drop(pack::write_nil(body)),
        Value::Bool(value) => drop(pack::write_bool(body, *value)),
        Value::String(text) => drop(pack::write_str(body, text)),
        Value::Array(values) => put_list(body, values),
        Value::Object(members) => {
            let _ = pack::write_map_len(body, u32::try_from(members.len()).unwrap_or(u32::MAX));
            for (name, value) in members {
                let _ = pack::write_str(body, name);
                put_value(body, value);
            }
        }
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => drop(pack::write_sint(body, integer)),
            (None, Some(integer)) => drop(pack::write_uint(body, integer)),
            (None, None) => drop(pack::write_f64(body, number.as_f64().unwrap_or_default())),
        },
    }
}
