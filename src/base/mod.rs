//! Words everyone uses: bytes of the protocol, units, address sets, secrets, and settings that are written as text.

pub mod backoff;
pub mod bytes;
pub mod clock;
pub mod content_coding;
pub mod from_text;
pub mod ip_set;
pub mod method;
pub mod weak_map;
pub mod path_params;
pub mod percent;
pub mod random;
pub mod secret;
pub mod hash;
pub mod status_set;
pub mod units;
pub mod url;
pub mod websocket;
