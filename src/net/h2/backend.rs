//! One request and its response on a shared HTTP/2 connection to a backend.

use super::{
    convert,
    recv_body::{RecvBody, RecvError},
    send_body::SendBody,
    stream_slots::StreamGuard,
};
use crate::{
    net::{
        buffer::WriteBuffer,
        h1::{backend::HeadError, hop_by_hop::HopByHop},
    },
    pipeline::{
        body::{BodyRead, Chunk, Framing},
        error::{ErrorCode, GatewayError},
        head::Head,
    },
};
use h2::{
    Reason,
    client::{ResponseFuture, SendRequest},
};
use std::{
    future::Future,
    io,
    task::{Context, Poll, ready},
};

/// One stream on a shared connection.
pub struct BackendStream {
    connection: SendRequest<WriteBuffer>,
    is_tls: bool,
    response: Option<ResponseFuture>,
    receiver: RecvBody,
    framing: Framing,
    sender: SendBody,
    /// Nothing is left to send, or the backend accepts no more; it may have responded nevertheless.
    uploaded: bool,
    /// Why the request could not be sent.
    failed: Option<HeadError>,
    /// The connection was used before.
    pub reused: bool,
    /// The upload waits for the backend, not for the client.
    write_blocked: bool,
    _guard: StreamGuard,
}

impl BackendStream {
    /// A request to be sent on this connection; `reused`: the connection was used before.
    pub fn new(
        connection: SendRequest<WriteBuffer>,
        is_tls: bool,
        reused: bool,
        guard: StreamGuard,
    ) -> Box<BackendStream> {
        Box::new(BackendStream {
            connection,
            is_tls,
            response: None,
            receiver: RecvBody::default(),
            framing: Framing::None,
            sender: SendBody::default(),
            uploaded: false,
            failed: None,
            reused,
            write_blocked: false,
            _guard: guard,
        })
    }

    /// Sends the request head, with this Host as `:authority`.
    pub fn begin(&mut self, head: &Head, host: &[u8], framing: Framing, hop: HopByHop) {
        let Some(request) = convert::to_request(head, host, self.is_tls, framing, hop) else {
            let cause = GatewayError::malformed_request("the target or Host is invalid in HTTP/2");
            self.failed = Some(HeadError::Failed(cause));
            return;
        };
        let no_body = matches!(framing, Framing::None | Framing::Length(0));
        match self.connection.send_request(request, no_body) {
            Ok((response, stream)) => {
                self.response = Some(response);
                self.sender.set_framing(framing);
                self.sender.attach_stream(stream, no_body);
                self.uploaded = no_body;
            }
            Err(error) => self.failed = Some(classify_head_error(error)),
        }
    }

    /// Whether the whole request was sent.
    pub fn is_upload_done(&self) -> bool {
        self.uploaded
    }

    /// Whether the upload is blocked because the backend does not read.
    pub fn is_write_blocked(&self) -> bool {
        self.write_blocked
    }

    /// Bytes of the request body sent.
    pub fn sent(&self) -> u64 {
        self.sender.sent
    }

    /// Waits for a response head, informational (1xx) heads included.
    pub fn poll_head(
        &mut self,
        cx: &mut Context,
        head: &mut Head,
        for_head: bool,
    ) -> Poll<Result<(), HeadError>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let Some(response) = &mut self.response else { return Poll::Pending };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            let converted = convert::response(&interim, false, head, for_head);
            return Poll::Ready(converted.map(drop).map_err(HeadError::Failed));
        }
        let (parts, body) = match ready!(std::pin::Pin::new(response).poll(cx)) {
            Ok(response) => response.into_parts(),
            Err(error) => return Poll::Ready(Err(classify_head_error(error))),
        };
        self.response = None;
        self.receiver = RecvBody::new(body);
        let response = http::Response::from_parts(parts, ());
        match convert::response(&response, self.receiver.is_end(), head, for_head) {
            Ok(framing) => self.framing = framing,
            Err(cause) => return Poll::Ready(Err(HeadError::Failed(cause))),
        }
        Poll::Ready(Ok(()))
    }
}

/// Classifies an error before the response head: whether the backend can have processed the request.
fn classify_head_error(error: h2::Error) -> HeadError {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && (refused || error.is_go_away()) {
        return HeadError::NotStarted(error.is_go_away(), error.to_string());
    }
    if error.is_reset() && error.is_remote() {
        let detail = format!("the backend reset the stream: {error}");
        return HeadError::Failed(GatewayError::new(ErrorCode::BackendReset, detail));
    }
    match error.is_io() {
        true => HeadError::Closed(error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
        false => {
            let detail = format!("HTTP/2 protocol error of the backend: {error}");
            HeadError::Failed(GatewayError::new(ErrorCode::BackendMalformed, detail))
        }
    }
}

impl BodyRead for BackendStream {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        self.receiver.poll_fill(cx).map_err(|broken| {
            let what = match broken {
                RecvError::Connection(error) => error.to_string(),
                RecvError::Malformed(what) => what.to_owned(),
            };
            GatewayError::new(
                ErrorCode::BackendTruncated,
                format!("the backend ended its response body early: {what}"),
            )
        })
    }

    fn consume(&mut self, n: usize) {
        self.receiver.consume(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.receiver.trailers()
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_upload(&mut self, cx: &mut Context, body: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        while !self.uploaded && self.failed.is_none() {
            let sent = match body.poll_fill(cx)? {
                Poll::Ready(Chunk::Data(data)) => self.sender.poll_send(cx, data),
                Poll::Ready(Chunk::End) => {
                    let trailers = body.trailers().map(|head| convert::to_trailers(head));
                    // A backend that accepts no more may have responded nevertheless.
                    let _ = self.sender.end(trailers.filter(|fields| !fields.is_empty()));
                    self.uploaded = true;
                    break;
                }
                Poll::Pending => {
                    self.write_blocked = false;
                    // Flush: the backend may need the buffered bytes before it continues.
                    let _ = self.sender.flush();
                    return Poll::Pending;
                }
            };
            self.write_blocked = sent.is_pending();
            match ready!(sent) {
                Ok(n) => body.consume(n),
                Err(_) => self.uploaded = true,
            }
        }
        Poll::Ready(Ok(()))
    }
}
