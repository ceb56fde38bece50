//! HTTP/2 (RFC 9113): the frames are the `h2` crate's, on pingora's streams; what a stranger may do with them is ours.

mod backend;
pub mod client;
mod driver;
mod fields;
mod places;
pub mod pool;
mod receiver;
mod sender;
mod stream;
mod trailers;
mod transport;
mod walker;

pub use backend::BackendStream;
pub use client::{Connection, Limits};
pub use stream::ClientStream;
pub use walker::Pace;

/// What every connection of HTTP/2 begins with (RFC 9113 3.4); its first lines look like a request head.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
