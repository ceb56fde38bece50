//! HTTP/1.1: our own codec on pingora's streams.

pub mod backend;
pub mod client;
pub mod decode;
pub mod encode;
pub mod hop;
pub mod host;
pub mod parse;
