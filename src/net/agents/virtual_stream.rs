//! A stream to the service of an agent, in the place of a socket: its limits and counters.

use super::{config::TunnelLimits, entry::AgentConnection, log::StreamGuard, stream::TunnelStream};
use crate::{
    net::deadline::DeadlineTimer,
    telemetry::agents::{AgentLoss, AgentStall, AgentStreamEnd},
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How far ahead of `BytesPerSecond` a stream may be.
const RATE_BURST: Duration = Duration::from_millis(100);

/// An open stream.
#[derive(Debug)]
pub struct AgentStream {
    stream: TunnelStream,
    guard: StreamGuard,
    limits: TunnelLimits,
    active_at: Instant,
    timer: DeadlineTimer,
    /// By when the bytes so far may have been moved, with `BytesPerSecond`.
    paid_until: Instant,
    rate_timer: DeadlineTimer,
}

impl AgentStream {
    /// The stream with its limits.
    pub fn new(stream: TunnelStream, guard: StreamGuard, limits: TunnelLimits) -> AgentStream {
        let now = Instant::now();
        AgentStream {
            stream,
            guard,
            limits,
            active_at: now,
            timer: DeadlineTimer::default(),
            paid_until: now,
            rate_timer: DeadlineTimer::default(),
        }
    }

    /// The connection that carries it.
    pub fn connection(&self) -> Arc<AgentConnection> {
        self.guard.connection.clone()
    }

    /// Reports a reset to the service, after everything that was sent before.
    pub async fn reset(&mut self) {
        self.guard.end = AgentStreamEnd::Reset;
        self.stream.sender.reset().await;
    }

    /// Ends the stream because of a limit.
    fn give_up(&mut self, end: AgentStreamEnd) -> io::Error {
        self.guard.end = end;
        self.stream.sender.cancel();
        io::Error::new(io::ErrorKind::ConnectionAborted, format!("the stream ended: {}", end.name()))
    }

    /// Pending while the stream is ahead of its rate.
    fn poll_rate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.limits.bytes_per_second.is_none() {
            return Poll::Ready(());
        }
        let Some(at) = self.paid_until.checked_sub(RATE_BURST) else { return Poll::Ready(()) };
        if at <= Instant::now() {
            return Poll::Ready(());
        }
        self.rate_timer.poll(cx, at)
    }

    /// Records moved bytes, and checks the limit of the day.
    fn moved(&mut self, bytes: usize, is_to_service: bool) -> io::Result<()> {
        let now = Instant::now();
        self.active_at = now;
        if let Some(rate) = self.limits.bytes_per_second {
            let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
            self.paid_until = self.paid_until.max(now) + cost;
        }
        let of_day = self.guard.count_bytes(bytes, is_to_service);
        match self.limits.bytes_per_day {
            Some(limit) if of_day > limit => Err(self.give_up(AgentStreamEnd::LimitBytes)),
            _ => Ok(()),
        }
    }

    /// Ready with an error when the stream was idle for too long, or has lasted too long.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let idle_end = self.active_at + self.limits.idle_timeout;
        let duration_end = self.limits.max_stream_duration.map(|max| self.guard.started_at + max);
        let (at, end) = match duration_end {
            Some(at) if at < idle_end => (at, AgentStreamEnd::LimitDuration),
            _ => (idle_end, AgentStreamEnd::Idle),
        };
        ready!(self.timer.poll(cx, at));
        Poll::Ready(self.give_up(end))
    }

    /// Records how the other side failed.
    fn failed(&mut self, error: io::Error) -> io::Error {
        if self.guard.end == AgentStreamEnd::Closed {
            self.guard.end = match self.guard.connection.end_reason() {
                Some(AgentLoss::Revoked) => AgentStreamEnd::AgentRevoked,
                Some(AgentLoss::Shutdown) => AgentStreamEnd::Shutdown,
                _ if error.kind() == io::ErrorKind::ConnectionReset => AgentStreamEnd::Reset,
                _ => AgentStreamEnd::AgentLost,
            };
        }
        error
    }
}

impl AsyncRead for AgentStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_rate(cx));
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let n = buf.filled().len() - before;
                let moved = if n == 0 { Ok(()) } else { this.moved(n, false) };
                if moved.is_err() {
                    buf.set_filled(before);
                }
                Poll::Ready(moved)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(this.failed(error))),
            Poll::Pending => this.poll_limits(cx).map(Err),
        }
    }
}

impl AsyncWrite for AgentStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_rate(cx));
        match Pin::new(&mut this.stream).poll_write(cx, bytes) {
            Poll::Ready(Ok(n)) => Poll::Ready(this.moved(n, true).map(|()| n)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(this.failed(error))),
            Poll::Pending => {
                this.guard.registry.metrics().count_stall(AgentStall::Stream);
                this.poll_limits(cx).map(Err)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
