//! The body of an internal service's response as the body of the exchange: polled only while the client has room, so
//! that a slow client slows the service down.

use super::request_body::Upload;
use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::{ErrorCode, GatewayError},
    head::Head,
};
use axum::body::Body;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body as _, Frame};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A response body that is being produced, while the request body is sent.
pub struct ResponseBody {
    body: Body,
    chunk: Bytes,
    length: Option<u64>,
    trailers: Option<Head>,
    ended: bool,
    upload: Upload,
}

impl ResponseBody {
    /// `length` is the `Content-Length`, `None`: chunked. `upload` is polled along with the response.
    pub fn new(body: Body, length: Option<u64>, upload: Upload) -> ResponseBody {
        ResponseBody { body, chunk: Bytes::new(), length, trailers: None, ended: false, upload }
    }

    fn poll_frame(&mut self, cx: &mut Context) -> Poll<Result<Option<Frame<Bytes>>, GatewayError>> {
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.body).poll_frame(cx)));
        let failed = |detail: String| Poll::Ready(Err(GatewayError::new(ErrorCode::GatewayInternal, detail)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(None)) => Poll::Ready(Ok(None)),
            Ok(Poll::Ready(Some(Ok(frame)))) => Poll::Ready(Ok(Some(frame))),
            Ok(Poll::Ready(Some(Err(error)))) => {
                failed(format!("the response body of the internal service failed: {error}"))
            }
            Err(_) => failed("the internal service panicked while it produced its response body".into()),
        }
    }
}

impl BodyRead for ResponseBody {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        while self.chunk.is_empty() && !self.ended {
            match ready!(self.poll_frame(cx))? {
                None => self.ended = true,
                Some(frame) => match frame.into_data() {
                    Ok(data) => self.chunk = data,
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok().map(|trailers| trailer_section(&trailers));
                        self.ended = true;
                    }
                },
            }
        }
        Poll::Ready(Ok(if self.chunk.is_empty() { Chunk::End } else { Chunk::Data(&self.chunk) }))
    }

    fn consume(&mut self, n: usize) {
        self.chunk.advance(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.trailers.as_mut()
    }

    fn framing(&self) -> Framing {
        self.length.map_or(Framing::Chunked, Framing::Length)
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        self.upload.poll(cx, from)
    }
}

fn trailer_section(trailers: &HeaderMap) -> Head {
    let mut head = Head::default();
    for (name, value) in trailers {
        head.append(name.as_str().as_bytes(), value.as_bytes());
    }
    head
}
