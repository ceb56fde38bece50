//! Packets for clients.

/// CONNACK; a session is never present.
pub fn connack(code: u8) -> Vec<u8> {
    vec![0x20, 2, 0, code]
}

/// PUBACK, PUBREC, PUBCOMP or UNSUBACK.
pub fn id_packet(kind: u8, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![kind, 2, high, low]
}

/// SUBACK with a code for each filter.
pub fn suback(id: u16, codes: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90];
    put_length(&mut packet, 2 + codes.len());
    packet.extend_from_slice(&id.to_be_bytes());
    packet.extend_from_slice(codes);
    packet
}

/// PINGRESP.
pub fn pingresp() -> Vec<u8> {
    vec![0xd0, 0]
}

/// PUBLISH with QoS 0, without a payload. A topic has at most 65535 bytes.
pub fn publish(topic: &str) -> Vec<u8> {
    let topic = &topic.as_bytes()[..topic.len().min(usize::from(u16::MAX))];
    let mut packet = vec![0x30];
    put_length(&mut packet, 2 + topic.len());
    packet.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    packet.extend_from_slice(topic);
    packet
}

fn put_length(packet: &mut Vec<u8>, mut length: usize) {
    loop {
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            return packet.push(byte);
        }
        packet.push(byte | 0x80);
    }
}
