//! Client messages of the JSON subprotocols.

use super::checks::{checked_group, checked_name};
use crate::realtime::{
    json_text::{MAX_JSON_DEPTH, depth},
    message::{ClientMessage, Payload, UserError},
    payload::{json_payload, protobuf_payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The members of all kinds of messages; which ones count depends on the kind. `null` is kept, because it is valid data.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'f> {
    #[serde(borrow, default, deserialize_with = "present")]
    r#type: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    group: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    ack_id: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    no_echo: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    ttl_seconds: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    data_type: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    event: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    sequence_id: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    invocation_id: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    target: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream_id: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream_sequence_id: Option<&'f RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'f RawValue>,
}

/// `stream` of a message that opens one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamStart {
    stream_id: String,
    idle_timeout_ms: Option<u32>,
}

/// `error` of the end of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamEndMembers {
    message: Option<Box<str>>,
    user_error_code: Option<Box<str>>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Decodes a frame of text, or of bytes with JSON.
pub fn decode(frame: &Bytes) -> Result<ClientMessage, String> {
    let text = std::str::from_utf8(frame).map_err(|_| "the message is not valid UTF-8".to_owned())?;
    if depth(frame) > MAX_JSON_DEPTH {
        return Err(format!("the message is nested deeper than {MAX_JSON_DEPTH} levels"));
    }
    // A sequence would be read as the members in their order.
    if !text.trim_start().starts_with('{') {
        return Err("expected a JSON object".to_owned());
    }
    let members: Members = serde_json::from_str(text).map_err(|error| format!("malformed JSON: {error}"))?;
    Decoding { members, frame }.message()
}

/// A frame that is being interpreted.
struct Decoding<'f> {
    members: Members<'f>,
    frame: &'f Bytes,
}

impl Decoding<'_> {
    fn message(&self) -> Result<ClientMessage, String> {
        let members = &self.members;
        let kind: String = required("type", members.r#type, "a string")?;
        Ok(match kind.as_str() {
            "joinGroup" => ClientMessage::JoinGroup { group: self.group()?, ack_id: self.ack_id()? },
            "leaveGroup" => ClientMessage::LeaveGroup { group: self.group()?, ack_id: self.ack_id()? },
            "sendToGroup" => self.send_to_group()?,
            "event" => ClientMessage::Event {
                event: name("event", members.event)?,
                ack_id: self.ack_id()?,
                payload: self.payload()?,
            },
            "ping" => ClientMessage::Ping,
            "sequenceAck" => {
                let sequence_id = required("sequenceId", members.sequence_id, INTEGER)?;
                ClientMessage::SequenceAck { sequence_id }
            }
            "invoke" => self.invoke()?,
            "cancelInvocation" => ClientMessage::CancelInvocation {
                invocation_id: name("invocationId", members.invocation_id)?,
            },
            "streamData" => self.stream_data()?,
            "streamEnd" => self.stream_end()?,
            _ => return Err("unknown message `type`".to_owned()),
        })
    }

    fn group(&self) -> Result<Box<str>, String> {
        checked_group(required("group", self.members.group, "a string")?)
    }

    fn ack_id(&self) -> Result<Option<u64>, String> {
        optional("ackId", self.members.ack_id, INTEGER)
    }

    fn send_to_group(&self) -> Result<ClientMessage, String> {
        let (members, group, ack_id) = (&self.members, self.group()?, self.ack_id()?);
        let no_echo = optional("noEcho", members.no_echo, "a boolean")?.unwrap_or_default();
        let start: Option<StreamStart> = optional("stream", members.stream, "an object with `streamId`")?;
        if let Some(StreamStart { stream_id, idle_timeout_ms }) = start {
            let stream_id = checked_name("streamId", stream_id)?;
            return Ok(ClientMessage::OpenStream { group, ack_id, no_echo, stream_id, idle_timeout_ms });
        }
        let ttl_seconds = optional("ttlSeconds", members.ttl_seconds, "an integer from 0 to 4294967295")?;
        Ok(ClientMessage::SendToGroup { group, ack_id, no_echo, payload: self.payload()?, ttl_seconds })
    }

    fn invoke(&self) -> Result<ClientMessage, String> {
        let members = &self.members;
        let target: String = required("target", members.target, "a string")?;
        if target != "event" {
            return Err("invalid `target`: must be \"event\"".to_owned());
        }
        let payload = match members.data {
            None => Payload::Text(Bytes::new()),
            Some(_) => self.payload()?,
        };
        Ok(ClientMessage::Invoke {
            invocation_id: name("invocationId", members.invocation_id)?,
            event: name("event", members.event)?,
            payload,
        })
    }

    fn stream_data(&self) -> Result<ClientMessage, String> {
        let members = &self.members;
        let stream_id = name("streamId", members.stream_id)?;
        let sequence_id: Option<u64> = optional("streamSequenceId", members.stream_sequence_id, INTEGER)?;
        let payload = match (sequence_id, members.data) {
            (None, None) => None,
            (Some(_), Some(_)) => Some(self.payload()?),
            _ => return Err("expected `streamSequenceId` and `data`, or neither of them".to_owned()),
        };
        Ok(ClientMessage::StreamData { stream_id, sequence_id, payload })
    }

    fn stream_end(&self) -> Result<ClientMessage, String> {
        let stream_id = name("streamId", self.members.stream_id)?;
        let error: Option<StreamEndMembers> = optional("error", self.members.error, "an object")?;
        let error =
            error.map(|error| UserError { message: error.message, user_error_code: error.user_error_code });
        Ok(ClientMessage::StreamEnd { stream_id, error })
    }

    /// `data` in the form that `dataType` states; JSON without one.
    fn payload(&self) -> Result<Payload, String> {
        let data_type: Option<String> = optional("dataType", self.members.data_type, "a string")?;
        let data_type = data_type.as_deref().unwrap_or("json");
        let Some(data) = self.members.data else { return Err("missing `data`".to_owned()) };
        let payload = match data_type {
            "text" => text(data).map(|text| Payload::Text(text.into())),
            "json" => json_payload(self.frame.slice_ref(data.get().as_bytes())).ok(),
            "binary" => base64(data).map(Payload::Binary),
            "protobuf" => base64(data).and_then(|bytes| protobuf_payload(bytes).ok()),
            _ => {
                let known = r#"must be "text", "json", "binary" or "protobuf""#;
                return Err(format!("unknown `dataType`: {known}"));
            }
        };
        payload.ok_or_else(|| format!("`data` does not match the dataType \"{data_type}\""))
    }
}

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn base64(raw: &RawValue) -> Option<Bytes> {
    STANDARD.decode(text(raw)?).ok().map(Bytes::from)
}

/// What is expected where an id is invalid.
const INTEGER: &str = "an integer from 0 to 18446744073709551615";

fn required<T: DeserializeOwned>(member: &str, raw: Option<&RawValue>, expected: &str) -> Result<T, String> {
    optional(member, raw, expected)?.ok_or_else(|| format!("missing `{member}`"))
}

/// `null` counts as absent: some clients write it for members that they do not set.
fn optional<T: DeserializeOwned>(
    member: &str,
    raw: Option<&RawValue>,
    expected: &str,
) -> Result<Option<T>, String> {
    let Some(raw) = raw else { return Ok(None) };
    serde_json::from_str(raw.get()).map_err(|_| format!("invalid `{member}`: expected {expected}"))
}

fn name(member: &str, raw: Option<&RawValue>) -> Result<Box<str>, String> {
    checked_name(member, required(member, raw, "a string")?)
}
