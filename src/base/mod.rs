//! Words everyone uses: bytes of the protocol, units, address sets, secrets, and settings that are written as text.

pub mod bytes;
pub mod clock;
pub mod coding;
pub mod from_text;
pub mod ip;
pub mod keyed;
pub mod path_values;
pub mod percent;
pub mod random;
pub mod secret;
pub mod spread;
pub mod statuses;
pub mod units;
pub mod url;
pub mod websocket;
