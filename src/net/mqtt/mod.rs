//! Packets of MQTT 3.1.1 (OASIS standard, level 4) on the side of the server: bytes to packets and back. Pure: no sockets.

mod decode;
mod encode;

pub use decode::{MqttError, decode};
pub use encode::{connack, id_packet, pingresp, publish, suback};

/// Acknowledges a message with QoS 1.
pub const PUBACK: u8 = 0x40;
/// Acknowledges a message with QoS 2.
pub const PUBREC: u8 = 0x50;
/// Ends the exchange of a message with QoS 2.
pub const PUBCOMP: u8 = 0x70;
/// Acknowledges UNSUBSCRIBE.
pub const UNSUBACK: u8 = 0xb0;

/// The return codes of CONNACK.
pub mod connack_code {
    /// The connection is accepted.
    pub const ACCEPTED: u8 = 0;
    /// Another level than that of MQTT 3.1.1.
    pub const UNSUPPORTED_LEVEL: u8 = 1;
    /// The client id is not acceptable.
    pub const INVALID_CLIENT_ID: u8 = 2;
    /// The service is not available.
    pub const NOT_AVAILABLE: u8 = 3;
    /// Malformed user name or password.
    pub const BAD_CREDENTIALS: u8 = 4;
    /// The client is not authorized.
    pub const NOT_AUTHORIZED: u8 = 5;
}

/// A packet of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Connect(Connect),
    Publish {
        topic: String,
        qos: u8,
        id: u16,
    },
    Subscribe {
        id: u16,
        filters: Vec<(String, u8)>,
    },
    Unsubscribe {
        id: u16,
    },
    /// PUBREL of a message with QoS 2.
    Release {
        id: u16,
    },
    /// PUBACK, PUBREC or PUBCOMP: only messages with QoS 0 are sent, so they are ignored.
    Acknowledgment,
    Ping,
    Disconnect,
}

/// CONNECT; will and retain are read and ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// 4 for MQTT 3.1.1.
    pub level: u8,
    pub client_id: String,
    pub user_name: Option<String>,
    pub password: Option<String>,
    /// Seconds; 0: none.
    pub keep_alive: u16,
}

#[cfg(test)]
mod tests;
