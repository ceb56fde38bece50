//! Copies bytes between two byte streams of any kind until both directions have ended.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The buffer of one direction.
const BUFFER_BYTES: usize = 32 * 1024;

/// How the copying ended.
#[derive(Debug)]
pub enum DuplexEnd {
    /// Both directions ended regularly.
    Closed,
    /// The first stream failed.
    FirstFailed(io::Error),
    /// The second stream failed.
    SecondFailed(io::Error),
}

/// The stream that failed.
enum Failed {
    Source(io::Error),
    Destination(io::Error),
}

/// One direction.
struct CopyDirection {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    copied: u64,
    is_source_ended: bool,
    is_done: bool,
}

impl CopyDirection {
    fn new() -> CopyDirection {
        let buffer = vec![0; BUFFER_BYTES].into();
        CopyDirection { buffer, start: 0, end: 0, copied: 0, is_source_ended: false, is_done: false }
    }

    /// Copies what is available; ready at the end of the source, when everything was sent.
    fn poll<S, D>(&mut self, cx: &mut Context<'_>, source: &mut S, to: &mut D) -> Poll<Result<(), Failed>>
    where
        S: AsyncRead + Unpin,
        D: AsyncWrite + Unpin,
    {
        while !self.is_done {
            if self.start < self.end {
                let written = Pin::new(&mut *to).poll_write(cx, &self.buffer[self.start..self.end]);
                self.start += ready!(written).map_err(Failed::Destination)?;
                continue;
            }
            if self.is_source_ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(Failed::Destination)?;
                self.is_done = true;
                break;
            }
            let mut space = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *source).poll_read(cx, &mut space) {
                Poll::Ready(read) => {
                    read.map_err(Failed::Source)?;
                    (self.start, self.end) = (0, space.filled().len());
                    self.copied += self.end as u64;
                    self.is_source_ended = self.end == 0;
                }
                Poll::Pending => {
                    ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Failed::Destination)?;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Copies in both directions; returns the end and the bytes from the first to the second stream, and back.
pub async fn copy_duplex<A, B>(first: &mut A, second: &mut B) -> (DuplexEnd, [u64; 2])
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (CopyDirection::new(), CopyDirection::new());
    let end = poll_fn(|cx| {
        let forward = there.poll(cx, first, second);
        let backward = back.poll(cx, second, first);
        match (forward, backward) {
            (Poll::Ready(Err(Failed::Source(error))), _) | (_, Poll::Ready(Err(Failed::Destination(error)))) => {
                Poll::Ready(DuplexEnd::FirstFailed(error))
            }
            (Poll::Ready(Err(Failed::Destination(error))), _) | (_, Poll::Ready(Err(Failed::Source(error)))) => {
                Poll::Ready(DuplexEnd::SecondFailed(error))
            }
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
        assert!(matches!(end, DuplexEnd::Closed));
        assert_eq!((copied, &request[..], &response[..]), ([7, 12], &b"request"[..], &b"the response"[..]));
    }
}
