//! One request and its answer on a connection of HTTP/2 to a backend, which others use at the same time.

use super::{
    fields,
    places::Place,
    receiver::{Broken, Receiver},
    sender::Sender,
};
use crate::{
    pipeline::{
        body::{BodyRead, Chunk, Framing},
        cause::{Cause, Why},
        head::Head,
    },
    wire::{
        buffer::WriteBuffer,
        h1::{backend::HeadError, hop::Hop},
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
    secure: bool,
    response: Option<ResponseFuture>,
    receiver: Receiver,
    framing: Framing,
    sender: Sender,
    /// Nothing is left to send, or the backend takes no more of it; it may have answered all the same.
    uploaded: bool,
    /// Why the request did not even go out.
    failed: Option<HeadError>,
    /// Others were on the connection before.
    pub reused: bool,
    /// The upload waits for the backend, not for the caller.
    choked: bool,
    _place: Place,
}

impl BackendStream {
    pub fn new(
        connection: SendRequest<WriteBuffer>,
        secure: bool,
        reused: bool,
        place: Place,
    ) -> Box<BackendStream> {
        Box::new(BackendStream {
            connection,
            secure,
            response: None,
            receiver: Receiver::default(),
            framing: Framing::None,
            sender: Sender::default(),
            uploaded: false,
            failed: None,
            reused,
            choked: false,
            _place: place,
        })
    }

    /// Begins the request: the head goes out with this Host as its authority.
    pub fn begin(&mut self, head: &Head, host: &[u8], framing: Framing, hop: Hop) {
        let Some(request) = fields::put_request(head, host, self.secure, framing, hop) else {
            let cause = Cause::malformed("the target or the host cannot be said in HTTP/2");
            self.failed = Some(HeadError::Failed(cause));
            return;
        };
        let nothing = matches!(framing, Framing::None | Framing::Length(0));
        match self.connection.send_request(request, nothing) {
            Ok((response, stream)) => {
                self.response = Some(response);
                self.sender.begin(framing);
                self.sender.open(stream, nothing);
                self.uploaded = nothing;
            }
            Err(error) => self.failed = Some(head_error(error)),
        }
    }

    /// Whether the whole request was sent.
    pub fn is_upload_done(&self) -> bool {
        self.uploaded
    }

    /// Whether the upload stands still because the backend does not read.
    pub fn is_choked(&self) -> bool {
        self.choked
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
            let taken = fields::response(&interim, false, head, for_head);
            return Poll::Ready(taken.map(drop).map_err(HeadError::Failed));
        }
        let (parts, body) = match ready!(std::pin::Pin::new(response).poll(cx)) {
            Ok(response) => response.into_parts(),
            Err(error) => return Poll::Ready(Err(head_error(error))),
        };
        self.response = None;
        self.receiver = Receiver::new(body);
        let response = http::Response::from_parts(parts, ());
        match fields::response(&response, self.receiver.is_end(), head, for_head) {
            Ok(framing) => self.framing = framing,
            Err(cause) => return Poll::Ready(Err(HeadError::Failed(cause))),
        }
        Poll::Ready(Ok(()))
    }
}

/// What an error before the answer says: whether the backend can have seen the request at all.
fn head_error(error: h2::Error) -> HeadError {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && (refused || error.is_go_away()) {
        return HeadError::Refused(error.to_string());
    }
    if error.is_reset() && error.is_remote() {
        let detail = format!("the backend gave the request up: {error}");
        return HeadError::Failed(Cause::new(Why::BackendReset, detail));
    }
    match error.is_io() {
        true => HeadError::Silent(error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
        false => {
            let detail = format!("the backend does not speak HTTP/2 as it should: {error}");
            HeadError::Failed(Cause::new(Why::BackendMalformed, detail))
        }
    }
}

impl BodyRead for BackendStream {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        self.receiver.poll_fill(cx).map_err(|broken| {
            let what = match broken {
                Broken::Lost(error) => error.to_string(),
                Broken::Malformed(what) => what.to_owned(),
            };
            Cause::new(Why::BackendBody, format!("the backend broke its response body off: {what}"))
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

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), Cause>> {
        while !self.uploaded && self.failed.is_none() {
            let sent = match from.poll_fill(cx)? {
                Poll::Ready(Chunk::Data(data)) => self.sender.poll_send(cx, data),
                Poll::Ready(Chunk::End) => {
                    let trailers = from.trailers().map(|head| fields::put_trailers(head));
                    // A backend that takes no more may have answered all the same.
                    let _ = self.sender.end(trailers.filter(|fields| !fields.is_empty()));
                    self.uploaded = true;
                    break;
                }
                Poll::Pending => {
                    self.choked = false;
                    // The backend must not wait for bytes that we hold.
                    let _ = self.sender.flush();
                    return Poll::Pending;
                }
            };
            self.choked = sent.is_pending();
            match ready!(sent) {
                Ok(n) => from.consume(n),
                Err(_) => self.uploaded = true,
            }
        }
        Poll::Ready(Ok(()))
    }
}
