//! Messages in MessagePack, without their length. Nothing is allocated for an announced length.

use super::{
    hub_message::{HubMessage, Invocation},
    json::{checked_id, checked_target},
};
use bytes::Bytes;
use rmp::{Marker, decode};

/// Deepest nesting of arrays and maps.
const MAX_DEPTH: usize = 128;
/// Longest length prefix.
const MAX_PREFIX_BYTES: usize = 5;

/// The message of these bytes.
pub fn decode(body: &Bytes) -> Result<HubMessage, String> {
    let mut reader = Reader { rest: body };
    let elements = reader.array_len().ok_or("expected an array")?;
    if elements == 0 {
        return Err("the message is empty".to_owned());
    }
    let kind = reader.integer().ok_or("expected the type of the message")?;
    let message = match kind {
        1 | 4 => reader.invocation(kind == 4, elements, body)?,
        2 | 3 | 5 => {
            let invocation_id = reader.headers_and_id()?.ok_or("the message has no invocation id")?;
            reader.skip_all(elements.saturating_sub(3))?;
            match kind {
                2 => HubMessage::StreamItem,
                3 => HubMessage::Completion { invocation_id },
                _ => HubMessage::CancelInvocation,
            }
        }
        8 | 9 => {
            let sequence_id = reader.integer().filter(|_| elements >= 2).ok_or("expected a sequence id")?;
            reader.skip_all(elements - 2)?;
            if kind == 8 { HubMessage::Ack { sequence_id } } else { HubMessage::Sequence { sequence_id } }
        }
        kind => {
            reader.skip_all(elements - 1)?;
            match kind {
                6 => HubMessage::Ping,
                7 => HubMessage::Close,
                _ => HubMessage::Unknown,
            }
        }
    };
    match reader.rest {
        [] => Ok(message),
        _ => Err("bytes follow the message".to_owned()),
    }
}

/// The length of the next message and of its prefix; `Ok(None)`: the prefix is incomplete.
pub fn prefix(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let mut len = 0_u64;
    for (at, byte) in bytes.iter().take(MAX_PREFIX_BYTES).enumerate() {
        len |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return match usize::try_from(len) {
                Ok(len) if len > 0 && len <= i32::MAX as usize => Ok(Some((len, at + 1))),
                _ => Err("invalid length of a message".to_owned()),
            };
        }
    }
    match bytes.len() {
        ..MAX_PREFIX_BYTES => Ok(None),
        _ => Err("invalid length of a message".to_owned()),
    }
}

/// Appends the length of a message.
pub fn put_prefix(mut len: usize, buffer: &mut Vec<u8>) {
    while len >= 0x80 {
        buffer.push(len as u8 | 0x80);
        len >>= 7;
    }
    buffer.push(len as u8);
}

/// Whether the bytes are one framed completion of this invocation.
pub fn is_completion(framed: &Bytes, invocation_id: &str) -> bool {
    let Ok(Some((len, prefix_len))) = prefix(framed) else { return false };
    if framed.len() != prefix_len + len {
        return false;
    }
    let body = framed.slice(prefix_len..);
    let mut reader = Reader { rest: &body };
    let Some(elements) = reader.array_len() else { return false };
    let has_result = |reader: &mut Reader<'_>| match (reader.integer(), elements) {
        (Some(2), 4..) | (Some(1 | 3), 5..) => reader.skip_all(elements - 4).is_ok(),
        _ => false,
    };
    reader.integer() == Some(3)
        && reader.headers_and_id().is_ok_and(|id| id.as_deref() == Some(invocation_id))
        && has_result(&mut reader)
        && reader.rest.is_empty()
}

/// Reads values; `None` and errors: the bytes are malformed.
struct Reader<'m> {
    rest: &'m [u8],
}

impl<'m> Reader<'m> {
    fn invocation(&mut self, is_stream: bool, elements: usize, body: &Bytes) -> Result<HubMessage, String> {
        if elements < 5 {
            return Err("the invocation is incomplete".to_owned());
        }
        let invocation_id = self.headers_and_id()?;
        let target = checked_target(self.text().ok_or("expected the name of a method")?)?;
        let arguments = self.array_len().ok_or("expected a list of arguments")?;
        self.skip_all(arguments)?;
        let mut has_streams = false;
        if elements > 5 {
            let streams = self.array_len().ok_or("expected a list of stream ids")?;
            has_streams = streams > 0;
            self.skip_all(streams)?;
            self.skip_all(elements - 6)?;
        }
        if is_stream {
            let invocation_id = invocation_id.ok_or("the stream invocation has no invocation id")?;
            return Ok(HubMessage::StreamInvocation { invocation_id });
        }
        Ok(HubMessage::Invocation(Invocation { invocation_id, target, has_streams, body: body.clone() }))
    }

    /// Skips the headers and reads the id of the invocation.
    fn headers_and_id(&mut self) -> Result<Option<Box<str>>, String> {
        let headers = decode::read_map_len(&mut self.rest).ok().and_then(|len| usize::try_from(len).ok());
        let headers = headers.ok_or("expected the headers of the message")?;
        self.skip_all(headers.saturating_mul(2))?;
        if self.rest.first() == Some(&Marker::Null.to_u8()) {
            self.take(1);
            return Ok(None);
        }
        self.text().ok_or_else(|| "expected an invocation id".to_owned()).and_then(checked_id).map(Some)
    }

    /// The number of elements of an array; each has at least one byte.
    fn array_len(&mut self) -> Option<usize> {
        let len = usize::try_from(decode::read_array_len(&mut self.rest).ok()?).ok()?;
        (len <= self.rest.len()).then_some(len)
    }

    fn integer(&mut self) -> Option<u64> {
        decode::read_int(&mut self.rest).ok()
    }

    fn text(&mut self) -> Option<&'m str> {
        let len = usize::try_from(decode::read_str_len(&mut self.rest).ok()?).ok()?;
        std::str::from_utf8(self.take(len)?).ok()
    }

    fn take(&mut self, len: usize) -> Option<&'m [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn skip_all(&mut self, values: usize) -> Result<(), String> {
        match self.skip(values, 0) {
            Some(()) => Ok(()),
            None => Err("a value is malformed or nested too deeply".to_owned()),
        }
    }

    fn skip(&mut self, values: usize, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH || values > self.rest.len() {
            return None;
        }
        for _ in 0..values {
            let marker = decode::read_marker(&mut self.rest).ok()?;
            let (bytes, values) = self.size(marker)?;
            self.take(bytes)?;
            self.skip(values, depth + 1)?;
        }
        Some(())
    }

    /// How many bytes and how many values follow the marker of a value.
    fn size(&mut self, marker: Marker) -> Option<(usize, usize)> {
        Some(match marker {
            Marker::Null | Marker::True | Marker::False | Marker::FixPos(_) | Marker::FixNeg(_) => (0, 0),
            Marker::U8 | Marker::I8 => (1, 0),
            Marker::U16 | Marker::I16 => (2, 0),
            Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
            Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
            Marker::FixStr(len) => (len.into(), 0),
            Marker::Str8 | Marker::Bin8 => (self.length(1)?, 0),
            Marker::Str16 | Marker::Bin16 => (self.length(2)?, 0),
            Marker::Str32 | Marker::Bin32 => (self.length(4)?, 0),
            Marker::FixArray(len) => (0, len.into()),
            Marker::Array16 => (0, self.length(2)?),
            Marker::Array32 => (0, self.length(4)?),
            Marker::FixMap(len) => (0, 2 * usize::from(len)),
            Marker::Map16 => (0, 2 * self.length(2)?),
            Marker::Map32 => (0, 2 * self.length(4)?),
            Marker::FixExt1 => (2, 0),
            Marker::FixExt2 => (3, 0),
            Marker::FixExt4 => (5, 0),
            Marker::FixExt8 => (9, 0),
            Marker::FixExt16 => (17, 0),
            Marker::Ext8 => (self.length(1)? + 1, 0),
            Marker::Ext16 => (self.length(2)? + 1, 0),
            Marker::Ext32 => (self.length(4)? + 1, 0),
            Marker::Reserved => return None,
        })
    }

    /// A length of this many bytes.
    fn length(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
    }
}
