//! What surrounds the shared body of a publication for one receiver.

use super::subprotocol::Subprotocol;
use crate::base::bytes::put_decimal;
use smallvec::SmallVec;

/// The bytes around a shared body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Written before the body.
    pub prefix: SmallVec<[u8; 40]>,
    /// Bytes of the body that are not written.
    pub skip: usize,
    /// Written behind the body.
    pub suffix: SmallVec<[u8; 12]>,
}

/// Key of `data_message` in a service message: tag 2, length-delimited.
const DATA_MESSAGE_KEY: u8 = 0x12;
/// Key of `sequence_id` in a `DataMessage`: tag 4, varint.
const SEQUENCE_ID_KEY: u8 = 0x20;

/// The envelope of a publication. Only reliable subprotocols use the sequence number, which starts at 1.
pub fn envelope(subprotocol: Subprotocol, body_len: usize, sequence_id: u64) -> Envelope {
    let mut envelope = Envelope::default();
    match subprotocol {
        Subprotocol::Simple | Subprotocol::Json | Subprotocol::SignalR(_) => {}
        Subprotocol::JsonReliable => {
            let mut digits = Vec::with_capacity(20);
            put_decimal(&mut digits, sequence_id);
            envelope.prefix.extend_from_slice(b"{\"sequenceId\":");
            envelope.prefix.extend_from_slice(&digits);
            envelope.prefix.push(b',');
            // The opening brace of the body.
            envelope.skip = 1;
        }
        Subprotocol::Protobuf | Subprotocol::ProtobufReliable => {
            if subprotocol.is_reliable() {
                envelope.suffix.push(SEQUENCE_ID_KEY);
                put_varint(sequence_id, |byte| envelope.suffix.push(byte));
            }
            envelope.prefix.push(DATA_MESSAGE_KEY);
            let len = body_len + envelope.suffix.len();
            put_varint(len as u64, |byte| envelope.prefix.push(byte));
        }
    }
    envelope
}

fn put_varint(mut number: u64, mut put: impl FnMut(u8)) {
    while number >= 0x80 {
        put(number as u8 | 0x80);
        number >>= 7;
    }
    put(number as u8);
}
