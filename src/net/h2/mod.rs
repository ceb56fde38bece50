//! HTTP/2 (RFC 9113) on both sides. The `h2` crate handles frames, HPACK and flow control; limits, flood protection and
//! connection sharing are ours (Envoy: HTTP/2 codec and connection pool).
//!
//! Entry points: [`Connection::open`] for clients, called by the connection loop of `server`, and [`pool::open`] for
//! backends, called by the attempts of `backend`. The pool holds the shared connections of one worker. They outlive a
//! reload as long as their endpoint does; client connections keep their limits and continue.

mod backend;
pub mod client;
mod connection_task;
mod convert;
mod error_code;
mod shared_connections;
mod stream_slots;
pub mod pool;
mod recv_body;
mod hpack;
mod request_path;
mod send_body;
mod stream;
mod trailers;
mod transport;
pub mod frame_inspector;
pub mod frame_rates;
mod sent_frames;

pub use backend::BackendStream;
pub use client::{Connection, Limits};
pub use frame_rates::FrameRateLimits;
pub use stream::ClientStream;
