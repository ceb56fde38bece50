//! One request to a backend, whatever it is spoken in: a connection of HTTP/1.1, or a stream of HTTP/2.

use super::{
    h1::{
        backend::{BackendConn, HeadError},
        hop_by_hop::HopByHop,
    },
    h2::BackendStream,
};
use crate::pipeline::{
    body::{BodyRead, Framing},
    error::GatewayError,
    head::{Head, Version},
};
use std::task::{Context, Poll};

/// The way to a backend and back.
pub enum BackendRequest {
    H1(Box<BackendConn>),
    H2(Box<BackendStream>),
}

impl BackendRequest {
    /// Whether the connection was in use before: the backend may have closed it meanwhile.
    pub fn is_reused(&self) -> bool {
        match self {
            BackendRequest::H1(conn) => conn.reused,
            BackendRequest::H2(stream) => stream.reused,
        }
    }

    /// Begins a request: the head is written with the framing of the caller's body and this Host.
    pub fn send_head(&mut self, head: &Head, host: &[u8], framing: Framing, hop: HopByHop, version: Version) {
        match self {
            // Where TLS may bring HTTP/2 and did not, it is HTTP/1.1.
            BackendRequest::H1(conn) => conn.begin(head, host, framing, hop, version.min(Version::Http11)),
            BackendRequest::H2(stream) => stream.begin(head, host, framing, hop),
        }
    }

    /// Takes the request body further; ready when nothing is left to send.
    pub fn poll_upload(
        &mut self,
        cx: &mut Context,
        from: &mut dyn BodyRead,
    ) -> Poll<Result<(), GatewayError>> {
        match self {
            BackendRequest::H1(conn) => conn.poll_upload(cx, from),
            BackendRequest::H2(stream) => stream.poll_upload(cx, from),
        }
    }

    /// Waits for a response head, interim ones included.
    pub fn poll_head(
        &mut self,
        cx: &mut Context,
        head: &mut Head,
        for_head: bool,
    ) -> Poll<Result<(), HeadError>> {
        match self {
            BackendRequest::H1(conn) => conn.poll_head(cx, head, for_head),
            BackendRequest::H2(stream) => stream.poll_head(cx, head, for_head),
        }
    }

    /// Whether the whole request was sent.
    pub fn is_upload_done(&self) -> bool {
        match self {
            BackendRequest::H1(conn) => conn.is_upload_done(),
            BackendRequest::H2(stream) => stream.is_upload_done(),
        }
    }

    /// Bytes of request body sent.
    pub fn bytes_sent(&self) -> u64 {
        match self {
            BackendRequest::H1(conn) => conn.sent(),
            BackendRequest::H2(stream) => stream.sent(),
        }
    }

    /// Whether the upload stands still because the backend does not read.
    pub fn is_write_blocked(&self) -> bool {
        match self {
            BackendRequest::H1(conn) => conn.is_write_blocked(),
            BackendRequest::H2(stream) => stream.is_write_blocked(),
        }
    }

    /// The response body.
    pub fn into_body(self) -> Box<dyn BodyRead> {
        match self {
            BackendRequest::H1(conn) => conn,
            BackendRequest::H2(stream) => stream,
        }
    }
}
