//! Messages in JSON, without the record separator.

use super::{
    HubProtocol, MAX_INVOCATION_ID_BYTES, MAX_TARGET_BYTES, RECORD_SEPARATOR,
    hub_message::{HubMessage, Invocation},
};
use crate::realtime::json_text::{MAX_JSON_DEPTH, depth};
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The members of all kinds of messages.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'m> {
    #[serde(rename = "type")]
    kind: u32,
    #[serde(borrow)]
    invocation_id: Option<Cow<'m, str>>,
    #[serde(borrow)]
    target: Option<Cow<'m, str>>,
    #[serde(borrow)]
    arguments: Option<&'m RawValue>,
    stream_ids: Option<Vec<IgnoredAny>>,
    sequence_id: Option<u64>,
}

/// The message of a text.
pub fn decode(body: &Bytes) -> Result<HubMessage, String> {
    let members = parse(body)?;
    let id = || -> Result<Box<str>, String> {
        let id = members.invocation_id.as_deref().ok_or("the message has no invocationId")?;
        checked_id(id)
    };
    let number = || members.sequence_id.ok_or_else(|| "the message has no sequenceId".to_owned());
    Ok(match members.kind {
        1 | 4 => {
            let invocation_id = members.invocation_id.as_deref().map(checked_id).transpose()?;
            let target = checked_target(members.target.as_deref().unwrap_or_default())?;
            if !members.arguments.is_some_and(|arguments| arguments.get().starts_with('[')) {
                return Err("the invocation has no list of arguments".to_owned());
            }
            if members.kind == 4 {
                let invocation_id = invocation_id.ok_or("the stream invocation has no invocationId")?;
                return Ok(HubMessage::StreamInvocation { invocation_id });
            }
            let has_streams = members.stream_ids.is_some_and(|ids| !ids.is_empty());
            HubMessage::Invocation(Invocation { invocation_id, target, has_streams, body: body.clone() })
        }
        2 => id().map(|_| HubMessage::StreamItem)?,
        3 => HubMessage::Completion { invocation_id: id()? },
        5 => id().map(|_| HubMessage::CancelInvocation)?,
        6 => HubMessage::Ping,
        7 => HubMessage::Close,
        8 => HubMessage::Ack { sequence_id: number()? },
        9 => HubMessage::Sequence { sequence_id: number()? },
        _ => HubMessage::Unknown,
    })
}

fn parse(body: &[u8]) -> Result<Members<'_>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the message is not valid UTF-8".to_owned())?;
    if depth(body) > MAX_JSON_DEPTH {
        return Err(format!("the message is nested deeper than {MAX_JSON_DEPTH} levels"));
    }
    serde_json::from_str(text).map_err(|error| format!("malformed message: {error}"))
}

/// The id of an invocation, if it is not too long.
pub fn checked_id(id: &str) -> Result<Box<str>, String> {
    match id.len() {
        ..=MAX_INVOCATION_ID_BYTES => Ok(id.into()),
        _ => Err(format!("invalid invocationId: must have at most {MAX_INVOCATION_ID_BYTES} bytes")),
    }
}

/// The name of a method, if it is neither empty nor too long.
pub fn checked_target(target: &str) -> Result<Box<str>, String> {
    match target.len() {
        1..=MAX_TARGET_BYTES => Ok(target.into()),
        _ => Err(format!("invalid target: must have 1 to {MAX_TARGET_BYTES} bytes")),
    }
}

/// Whether the bytes are one framed completion of this invocation.
pub fn is_completion(framed: &[u8], invocation_id: &str) -> bool {
    let Some((&RECORD_SEPARATOR, body)) = framed.split_last() else { return false };
    let is_completion = |members: Members| {
        members.kind == 3 && members.invocation_id.is_some_and(|known| known == invocation_id)
    };
    !body.contains(&RECORD_SEPARATOR) && parse(body).is_ok_and(is_completion)
}

/// The request of a client that opens the connection.
#[derive(Deserialize)]
struct HandshakeRequest {
    protocol: String,
    version: u32,
}

/// The protocol that a handshake requests; the error is the response to the client.
pub fn handshake(text: &[u8]) -> Result<HubProtocol, String> {
    let request: HandshakeRequest =
        serde_json::from_slice(text).map_err(|_| "Malformed handshake request.".to_owned())?;
    let protocol = match request.protocol.as_str() {
        "json" => HubProtocol::Json,
        "messagepack" => HubProtocol::MessagePack,
        _ => return Err("The requested hub protocol is not supported.".to_owned()),
    };
    match request.version {
        1 | 2 => Ok(protocol),
        version => Err(format!("Version {version} of the hub protocol is not supported.")),
    }
}
