//! Copies bytes between two byte streams of any kind until both directions have ended.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The buffer of one direction.
const BUFFER_BYTES: usize = 32 * 1024;

/// How the copying ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplexEnd {
    /// Both directions ended regularly.
    Closed,
    /// The first stream failed.
    FirstFailed,
    /// The second stream failed.
    SecondFailed,
}

/// The stream of a direction that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedStream {
    Source,
    Destination,
}

/// One direction.
#[derive(Debug)]
pub struct CopyDirection {
    /// Empty while nothing is available.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes received from the source.
    pub copied: u64,
    is_source_ended: bool,
}

impl Default for CopyDirection {
    fn default() -> CopyDirection {
        CopyDirection::new()
    }
}

impl CopyDirection {
    /// Nothing copied yet.
    pub fn new() -> CopyDirection {
        CopyDirection { buffer: Vec::new(), start: 0, end: 0, copied: 0, is_source_ended: false }
    }

    /// Copies what is available; ready at the end of the source, when everything before it was sent.
    pub fn poll<S, D>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        to: &mut D,
    ) -> Poll<Result<(), FailedStream>>
    where
        S: AsyncRead + Unpin,
        D: AsyncWrite + Unpin,
    {
        let to_failed = |_| FailedStream::Destination;
        loop {
            if self.start < self.end {
                let written = Pin::new(&mut *to).poll_write(cx, &self.buffer[self.start..self.end]);
                self.start += ready!(written).map_err(to_failed)?;
                continue;
            }
            if self.is_source_ended {
                return Pin::new(&mut *to).poll_flush(cx).map_err(to_failed);
            }
            self.buffer.resize(BUFFER_BYTES, 0);
            let mut space = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *source).poll_read(cx, &mut space) {
                Poll::Ready(read) => {
                    read.map_err(|_| FailedStream::Source)?;
                    (self.start, self.end) = (0, space.filled().len());
                    self.copied += self.end as u64;
                    self.is_source_ended = self.end == 0;
                }
                Poll::Pending => {
                    self.buffer = Vec::new();
                    ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(to_failed)?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// The same, and then the end of the destination's sending direction.
    fn poll_to_end<S, D>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        to: &mut D,
    ) -> Poll<Result<(), FailedStream>>
    where
        S: AsyncRead + Unpin,
        D: AsyncWrite + Unpin,
    {
        ready!(self.poll(cx, source, to))?;
        Pin::new(to).poll_shutdown(cx).map_err(|_| FailedStream::Destination)
    }
}

/// Copies in both directions; returns the end and the bytes from the first to the second stream, and back.
pub async fn copy_duplex<A, B>(first: &mut A, second: &mut B) -> (DuplexEnd, [u64; 2])
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (CopyDirection::new(), CopyDirection::new());
    let (mut is_there_done, mut is_back_done) = (false, false);
    let end = poll_fn(|cx| {
        let forward = if is_there_done { Poll::Ready(Ok(())) } else { there.poll_to_end(cx, first, second) };
        let backward = if is_back_done { Poll::Ready(Ok(())) } else { back.poll_to_end(cx, second, first) };
        (is_there_done, is_back_done) = (forward.is_ready(), backward.is_ready());
        match (forward, backward) {
            (Poll::Ready(Err(FailedStream::Source)), _)
            | (_, Poll::Ready(Err(FailedStream::Destination))) => Poll::Ready(DuplexEnd::FirstFailed),
            (Poll::Ready(Err(FailedStream::Destination)), _)
            | (_, Poll::Ready(Err(FailedStream::Source))) => Poll::Ready(DuplexEnd::SecondFailed),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(DuplexEnd::Closed),
            _ => Poll::Pending,
        }
    })
    .await;
    (end, [there.copied, back.copied])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn each_direction_ends_by_itself_and_nothing_is_lost() {
        let ((mut client, mut first), (mut second, mut service)) = (duplex(7), duplex(64));
        let copy = async { copy_duplex(&mut first, &mut second).await };
        let exchange = async {
            client.write_all(b"request").await.unwrap();
            client.shutdown().await.unwrap();
            let (mut request, mut response) = (Vec::new(), Vec::new());
            service.read_to_end(&mut request).await.unwrap();
            service.write_all(b"the response").await.unwrap();
            service.shutdown().await.unwrap();
            client.read_to_end(&mut response).await.unwrap();
            (request, response)
        };
        let ((end, copied), (request, response)) = tokio::join!(copy, exchange);
        assert_eq!(end, DuplexEnd::Closed);
        assert_eq!((copied, &request[..], &response[..]), ([7, 12], &b"request"[..], &b"the response"[..]));
    }
}
