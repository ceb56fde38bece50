//! One request of a client over HTTP/2, and its answer.

use super::{
    fields,
    receiver::{Broken, Receiver},
    sender::Sender,
    transport::Watch,
};
use crate::{
    pipeline::{
        body::{BodyRead, Caller, Chunk, Framing},
        cause::{Cause, Why},
        head::{Head, Version},
    },
    wire::{alarm::Alarm, buffer::WriteBuffer, h1::client::ClientLimits, side::ClientSide},
};
use h2::{Reason, RecvStream, server::SendResponse};
use http::{Request, Response};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

/// One stream.
pub struct ClientStream {
    request: Option<Request<()>>,
    receiver: Receiver,
    framing: Framing,
    respond: SendResponse<WriteBuffer>,
    /// The head of the answer, until it is known whether something follows it.
    answer: Option<Response<()>>,
    sender: Sender,
    alarm: Alarm,
    body_limit: u64,
    received: u64,
    gone: bool,
    _seat: Seat,
}

impl ClientStream {
    pub(super) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<WriteBuffer>,
        watch: &Arc<Watch>,
        seat: Seat,
    ) -> ClientStream {
        let (parts, body) = request.into_parts();
        ClientStream {
            request: Some(Request::from_parts(parts, ())),
            receiver: Receiver::watched(body, watch.clone()),
            framing: Framing::None,
            respond,
            answer: None,
            sender: Sender::default(),
            alarm: Alarm::default(),
            body_limit: u64::MAX,
            received: 0,
            gone: false,
            _seat: seat,
        }
    }

    /// Takes the request head over.
    pub fn head(&mut self, head: &mut Head, limits: &ClientLimits) -> Result<(), Cause> {
        self.body_limit = limits.body;
        let Some(request) = self.request.take() else { return Err(Cause::gone()) };
        self.framing = fields::request(&request, self.receiver.is_end(), head, &limits.head)?;
        if let Framing::Length(n) = self.framing {
            if n > limits.body {
                return Err(self.too_large());
            }
            self.receiver.expect(n);
        }
        Ok(())
    }

    /// Whether the whole answer was handed over.
    pub fn is_answered(&self) -> bool {
        self.sender.is_ended()
    }

    /// Whether the client gave the request up.
    pub fn is_given_up(&self) -> bool {
        self.gone
    }

    /// Ends an answer that cannot be completed so that the client sees it.
    pub fn break_off(&mut self) {
        match self.sender.stream() {
            Some(stream) => stream.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    fn too_large(&self) -> Cause {
        Cause::new(Why::RequestBody, format!("the request body is larger than {} bytes", self.body_limit))
    }

    /// Sends the head of the answer if it was not sent; `last` says that nothing follows.
    fn send_head(&mut self, last: bool) -> io::Result<()> {
        if let Some(answer) = self.answer.take() {
            let sent = self.respond.send_response(answer, last);
            self.sender.open(sent.map_err(|_| io::ErrorKind::BrokenPipe)?, last);
        }
        Ok(())
    }

    fn finish(&mut self, trailers: Option<&Head>) -> io::Result<()> {
        let trailers = trailers.filter(|_| self.sender.has_body()).map(fields::put_trailers);
        let trailers = trailers.filter(|fields| !fields.is_empty());
        let nothing = self.sender.sent == 0 && trailers.is_none();
        self.send_head(nothing)?;
        self.sender.end(trailers)
    }
}

impl ClientSide for ClientStream {
    fn version(&self) -> Version {
        Version::Http2
    }

    fn served(&self) -> u32 {
        0
    }

    fn is_body_done(&self) -> bool {
        self.receiver.is_end()
    }

    fn begin(&mut self, head: &Head, framing: Framing, _keep: bool) {
        self.answer = Some(fields::put_response(head, framing));
        self.sender.begin(framing);
    }

    fn poll_send(&mut self, cx: &mut Context, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.sender.is_wanted() {
            self.send_head(false)?;
        }
        self.sender.poll_send(cx, data)
    }

    fn end(&mut self, trailers: Option<&Head>) -> bool {
        let may = self.sender.may_end();
        // A client that went meanwhile is noticed by whoever looks after it.
        if may && self.finish(trailers).is_err() {
            self.gone = true;
        }
        may
    }

    fn poll_flush(&mut self, _cx: &mut Context) -> Poll<io::Result<()>> {
        self.send_head(false)?;
        Poll::Ready(self.sender.flush())
    }

    fn sent(&self) -> u64 {
        self.sender.sent
    }
}

impl BodyRead for ClientStream {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        let left = self.body_limit - self.received.min(self.body_limit);
        let too_large = match ready!(self.receiver.poll_fill(cx)) {
            Ok(Chunk::Data(data)) => data.len() as u64 > left,
            Ok(Chunk::End) => return Poll::Ready(Ok(Chunk::End)),
            Err(Broken::Malformed(what)) => return Poll::Ready(Err(Cause::malformed(what))),
            Err(Broken::Lost(_)) => {
                self.gone = true;
                return Poll::Ready(Err(Cause::gone()));
            }
        };
        if too_large {
            return Poll::Ready(Err(self.too_large()));
        }
        self.receiver.poll_fill(cx).map_err(|_| Cause::gone())
    }

    fn consume(&mut self, n: usize) {
        self.received += n as u64;
        self.receiver.consume(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.receiver.trailers()
    }

    fn framing(&self) -> Framing {
        self.framing
    }
}

impl Caller for ClientStream {
    /// The client reset the stream, or the connection is lost.
    fn poll_gone(&mut self, cx: &mut Context) -> Poll<()> {
        let reset = match self.sender.stream() {
            Some(stream) => stream.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        self.gone |= reset.is_ready();
        if self.gone { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_alarm(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        self.alarm.poll(cx, at)
    }

    fn interim(&mut self, head: &Head, _cx: &mut Context) {
        if self.answer.is_none() && self.sender.stream().is_none() {
            // A client that is gone needs no news.
            let _ = self.respond.send_informational(fields::put_response(head, Framing::None));
        }
    }

    fn received(&self) -> u64 {
        self.received
    }

    fn limit_body(&mut self, most: u64) {
        self.body_limit = self.body_limit.min(most);
    }

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

/// One stream's place among those that are being served.
#[derive(Debug)]
pub struct Seat(Arc<AtomicU32>);

impl Seat {
    /// Takes a place.
    pub fn take(live: &Arc<AtomicU32>) -> Seat {
        live.fetch_add(1, Relaxed);
        Seat(live.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
