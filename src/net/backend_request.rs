//! One request to a backend, independent of the protocol: an HTTP/1.1 connection or an HTTP/2 stream.

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

/// The transport of one request and its response.
pub enum BackendRequest {
    H1(Box<BackendConn>),
    H2(Box<BackendStream>),
}

impl BackendRequest {
    /// Whether the connection was used before, so that the backend may have closed it in the meantime.
    pub fn is_reused(&self) -> bool {
        match self {
            BackendRequest::H1(conn) => conn.reused,
            BackendRequest::H2(stream) => stream.reused,
        }
    }

    /// Writes the request head with the framing of the request body and the given Host.
    pub fn send_head(&mut self, head: &Head, host: &[u8], framing: Framing, hop: HopByHop, version: Version) {
        match self {
            // If TLS did not negotiate HTTP/2, the version is at most HTTP/1.1.
            BackendRequest::H1(conn) => conn.begin(head, host, framing, hop, version.min(Version::Http11)),
            BackendRequest::H2(stream) => stream.begin(head, host, framing, hop),
        }
    }

    /// Sends more of the request body; ready when nothing is left to send.
    pub fn poll_upload(
        &mut self,
        cx: &mut Context,
        body: &mut dyn BodyRead,
    ) -> Poll<Result<(), GatewayError>> {
        match self {
            BackendRequest::H1(conn) => conn.poll_upload(cx, body),
            BackendRequest::H2(stream) => stream.poll_upload(cx, body),
        }
    }

    /// Waits for a response head, informational (1xx) heads included.
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

    /// Bytes of the request body sent.
    pub fn bytes_sent(&self) -> u64 {
        match self {
            BackendRequest::H1(conn) => conn.sent(),
            BackendRequest::H2(stream) => stream.sent(),
        }
    }

    /// Whether the upload is blocked because the backend does not read.
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
