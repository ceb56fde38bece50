//! HTTP/2 (RFC 9113): frames by the `h2` crate, on pingora's streams; limits and pooling are ours.

mod backend;
pub mod client;
mod connection_task;
mod convert;
mod stream_slots;
pub mod pool;
mod recv_body;
mod send_body;
mod stream;
mod trailers;
mod transport;
mod frame_inspector;

pub use backend::BackendStream;
pub use client::{Connection, Limits};
pub use frame_inspector::FrameRateLimits;
pub use stream::ClientStream;

/// The connection preface (RFC 9113 3.4); its first lines look like a request head.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
