//! HTTP/1.1 (RFC 9112) on both sides: our own codec, strict about framing and without copies.
//!
//! Entry points: [`client::ClientConn`] receives requests and sends responses, called by the connection loop of `server`;
//! [`backend::BackendConn`] sends requests and receives responses, called by the attempts of `backend`. Both own their
//! stream, buffers, [`decode::Decoder`] and [`encode::Encoder`]. Idle backend connections outlive a reload in
//! `net::pool`, as long as their endpoint does.

pub mod backend;
mod backend_body;
pub mod client;
mod client_body;
pub mod decode;
pub(in crate::net) mod detect;
pub mod encode;
pub mod hop_by_hop;
pub mod host;
pub mod incomplete;
pub mod parse;
pub mod trailers;
