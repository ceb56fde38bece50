//! Bytes of a client to packets.

use super::{Connect, Packet};

/// Most bytes of the remaining length.
const MAX_LENGTH_BYTES: usize = 4;
/// Most filters of a SUBSCRIBE.
const MAX_FILTERS: usize = 64;

/// A violation of the standard; the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MqttError(pub &'static str);

/// The first packet of `bytes` and its length; `None` if it is incomplete. A packet has at most `max_bytes`.
pub fn decode(bytes: &[u8], max_bytes: usize) -> Result<Option<(Packet, usize)>, MqttError> {
    let Some((header, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, length_bytes)) = remaining_length(rest)? else { return Ok(None) };
    if length > max_bytes {
        return Err(MqttError("packet too long"));
    }
    let end = 1 + length_bytes + length;
    let Some(body) = bytes.get(1 + length_bytes..end) else { return Ok(None) };
    Ok(Some((packet(*header, body)?, end)))
}

/// The remaining length and the number of its bytes.
fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, MqttError> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(MAX_LENGTH_BYTES).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    match bytes.len() >= MAX_LENGTH_BYTES {
        true => Err(MqttError("malformed remaining length")),
        false => Ok(None),
    }
}

fn packet(header: u8, body: &[u8]) -> Result<Packet, MqttError> {
    let mut fields = Fields(body);
    let (kind, flags) = (header >> 4, header & 0x0f);
    let expected = if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
    if kind != 3 && flags != expected {
        return Err(MqttError("reserved flags"));
    }
    let packet = match kind {
        1 => Packet::Connect(connect(&mut fields)?),
        3 => return publish(flags, fields),
        4 | 5 | 7 => {
            fields.u16()?;
            Packet::Acknowledgment
        }
        6 => Packet::Release { id: fields.id()? },
        8 => Packet::Subscribe { id: fields.id()?, filters: filters(&mut fields)? },
        10 => {
            let id = fields.id()?;
            fields.text()?;
            while !fields.0.is_empty() {
                fields.text()?;
            }
            Packet::Unsubscribe { id }
        }
        12 => Packet::Ping,
        14 => Packet::Disconnect,
        _ => return Err(MqttError("a packet that clients do not send")),
    };
    match fields.0.is_empty() {
        true => Ok(packet),
        false => Err(MqttError("bytes after the packet")),
    }
}

fn publish(flags: u8, mut fields: Fields<'_>) -> Result<Packet, MqttError> {
    let qos = flags >> 1 & 3;
    if qos == 3 {
        return Err(MqttError("invalid QoS"));
    }
    let topic = fields.text()?;
    if topic.is_empty() || topic.contains(['+', '#']) {
        return Err(MqttError("invalid topic"));
    }
    let id = if qos > 0 { fields.id()? } else { 0 };
    Ok(Packet::Publish { topic: topic.to_owned(), qos, id })
}

fn filters(fields: &mut Fields<'_>) -> Result<Vec<(String, u8)>, MqttError> {
    let mut filters = Vec::new();
    while !fields.0.is_empty() {
        let (filter, qos) = (fields.text()?.to_owned(), fields.u8()?);
        if qos > 2 || filters.len() >= MAX_FILTERS {
            return Err(MqttError("invalid SUBSCRIBE"));
        }
        filters.push((filter, qos));
    }
    if filters.is_empty() { Err(MqttError("SUBSCRIBE without filters")) } else { Ok(filters) }
}

/// CONNECT. One of another level is read as far as its form is known.
fn connect(fields: &mut Fields<'_>) -> Result<Connect, MqttError> {
    let name = fields.text()?;
    let level = fields.u8()?;
    if name != "MQTT" || level != 4 {
        if !matches!(name, "MQTT" | "MQIsdp") {
            return Err(MqttError("not MQTT"));
        }
        fields.0 = &[];
        return Ok(Connect { level: if name == "MQTT" { level } else { 3 }, ..Connect::default() });
    }
    let flags = fields.u8()?;
    let (has_user, has_password, has_will) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x04 != 0);
    if flags & 1 != 0 || has_password && !has_user || !has_will && flags & 0x38 != 0 || flags & 0x18 == 0x18 {
        return Err(MqttError("invalid flags of CONNECT"));
    }
    let keep_alive = fields.u16()?;
    let client_id = fields.text()?.to_owned();
    if has_will {
        fields.text()?;
        fields.bytes()?;
    }
    let user_name = if has_user { Some(fields.text()?.to_owned()) } else { None };
    let password = match has_password {
        true => Some(String::from_utf8_lossy(fields.bytes()?).into_owned()),
        false => None,
    };
    Ok(Connect { level, client_id, user_name, password, keep_alive })
}

/// The rest of a packet.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take(&mut self, n: usize) -> Result<&'b [u8], MqttError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(MqttError("truncated packet"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, MqttError> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, MqttError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A packet id, which is not 0.
    fn id(&mut self) -> Result<u16, MqttError> {
        match self.u16()? {
            0 => Err(MqttError("packet id 0")),
            id => Ok(id),
        }
    }

    fn bytes(&mut self) -> Result<&'b [u8], MqttError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    fn text(&mut self) -> Result<&'b str, MqttError> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| MqttError("not UTF-8"))?;
        if text.contains('\0') { Err(MqttError("a text with the null character")) } else { Ok(text) }
    }
}
