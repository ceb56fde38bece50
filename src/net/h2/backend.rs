//! One request and its answer on a connection of HTTP/2 to a backend, which others use at the same time.

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

/// One request on a shared connection.
pub struct BackendStream {
    connection: SendRequest<WriteBuffer>,
    is_tls: bool,
    response: Option<ResponseFuture>,
    receiver: RecvBody,
    framing: Framing,
    sender: SendBody,
    /// Nothing is left to send, or the backend takes no more of it; it may have answered all the same.
    uploaded: bool,
    /// Why the request did not even go out.
    failed: Option<HeadError>,
    /// Others were on the connection before.
    pub reused: bool,
    /// The upload waits for the backend, not for the caller.
    write_blocked: bool,
    _place: StreamGuard,
}

impl BackendStream {
    pub fn new(
        connection: SendRequest<WriteBuffer>,
        secure: bool,
        reused: bool,
        place: StreamGuard,
    ) -> Box<BackendStream> {
        Box::new(BackendStream {
            connection,
            is_tls: secure,
            response: None,
            receiver: RecvBody::default(),
            framing: Framing::None,
            sender: SendBody::default(),
            uploaded: false,
            failed: None,
            reused,
            write_blocked: false,
            _place: place,
        })
    }

    /// Begins the request: the head goes out with this Host as its authority.
    pub fn begin(&mut self, head: &Head, host: &[u8], framing: Framing, hop: HopByHop) {
        let Some(request) = convert::to_request(head, host, self.is_tls, framing, hop) else {
            let cause = GatewayError::malformed_request("the target or the host cannot be said in HTTP/2");
            self.failed = Some(HeadError::Failed(cause));
            return;
        };
        let nothing = matches!(framing, Framing::None | Framing::Length(0));
        match self.connection.send_request(request, nothing) {
            Ok((response, stream)) => {
                self.response = Some(response);
                self.sender.set_framing(framing);
                self.sender.attach_stream(stream, nothing);
                self.uploaded = nothing;
            }
            Err(error) => self.failed = Some(classify_head_error(error)),
        }
    }

    /// Whether the whole request was sent.
    pub fn is_upload_done(&self) -> bool {
        self.uploaded
    }

    /// Whether the upload stands still because the backend does not read.
    pub fn is_write_blocked(&self) -> bool {
        self.write_blocked
    }

    /// Bytes of request body sent.
    pub fn sent(&self) -> u64 {
        self.sender.sent
    }

    /// Waits for a response head, interim ones included.
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
            let taken = convert::response(&interim, false, head, for_head);
            return Poll::Ready(taken.map(drop).map_err(HeadError::Failed));
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

/// What an error before the answer says: whether the backend can have seen the request at all.
fn classify_head_error(error: h2::Error) -> HeadError {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && (refused || error.is_go_away()) {
        return HeadError::NotStarted(error.to_string());
    }
    if error.is_reset() && error.is_remote() {
        let detail = format!("the backend gave the request up: {error}");
        return HeadError::Failed(GatewayError::new(ErrorCode::BackendReset, detail));
    }
    match error.is_io() {
        true => HeadError::Closed(error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
        false => {
            let detail = format!("the backend does not speak HTTP/2 as it should: {error}");
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
                format!("the backend broke its response body off: {what}"),
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

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        while !self.uploaded && self.failed.is_none() {
            let sent = match from.poll_fill(cx)? {
                Poll::Ready(Chunk::Data(data)) => self.sender.poll_send(cx, data),
                Poll::Ready(Chunk::End) => {
                    let trailers = from.trailers().map(|head| convert::to_trailers(head));
                    // A backend that takes no more may have answered all the same.
                    let _ = self.sender.end(trailers.filter(|fields| !fields.is_empty()));
                    self.uploaded = true;
                    break;
                }
                Poll::Pending => {
                    self.write_blocked = false;
                    // The backend must not wait for bytes that we hold.
                    let _ = self.sender.flush();
                    return Poll::Pending;
                }
            };
            self.write_blocked = sent.is_pending();
            match ready!(sent) {
                Ok(n) => from.consume(n),
                Err(_) => self.uploaded = true,
            }
        }
        Poll::Ready(Ok(()))
    }
}
