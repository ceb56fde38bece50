//! Moves bytes between a client and a service until the end: half-close, resets, idle timeouts, and the end of the drain.

use super::{
    dial::report_success,
    direction::{BrokenEnd, Direction},
    registry::OpenConnection,
};
use crate::{
    backend::{endpoint::Endpoint, health::AttemptReport},
    net::forward_stream::ForwardStream,
    pipeline::error::ErrorCode,
    telemetry::ForwardedTo,
};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::Sleep;

/// How long what was read before a reset may take to reach the other side.
const CUT_TIMEOUT: Duration = Duration::from_secs(2);
const CUT_INTERVAL: Duration = Duration::from_millis(5);
/// A direction without bytes for this long gives its pipe back.
const PIPE_IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// A service that ends its connection within this time, without a byte, has failed.
const EARLY_END: Duration = Duration::from_secs(1);

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Service,
}

/// How the relay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    /// Both sides have ended.
    Closed,
    /// A side broke: the other one gets what was read, then a reset.
    Broken(Side),
    /// Both sides are reset.
    Reset(&'static str),
}

/// What is reported of an attempt once the service has sent a byte, or has ended without one.
#[derive(Debug)]
pub struct PendingReport {
    pub endpoint: Arc<Endpoint>,
    pub started: Instant,
}

/// The two sides of a connection.
pub struct Relay<'r> {
    client: ForwardStream,
    service: ForwardStream,
    to_service: Direction,
    to_client: Direction,
    open: &'r OpenConnection,
    worker: usize,
    opened_at: Instant,
    active_at: Instant,
    /// The side whose end was noticed while writing to it.
    broken: Option<Side>,
    report: Option<PendingReport>,
}

impl<'r> Relay<'r> {
    /// `prefix` was read of the client already.
    pub fn new(
        (client, prefix): (ForwardStream, Vec<u8>),
        service: ForwardStream,
        open: &'r OpenConnection,
        worker: usize,
        report: Option<PendingReport>,
    ) -> Relay<'r> {
        let now = Instant::now();
        Relay {
            client,
            service,
            to_service: Direction::with_unsent(prefix),
            to_client: Direction::default(),
            open,
            worker,
            opened_at: now,
            active_at: now,
            broken: None,
            report,
        }
    }

    /// Runs to the end; returns its name.
    pub async fn run(mut self) -> &'static str {
        let finish = {
            let mut timer = std::pin::pin!(tokio::time::sleep_until(self.deadline().into()));
            poll_fn(|cx| self.poll(cx, timer.as_mut())).await
        };
        self.account();
        match finish {
            Finish::Closed => "closed",
            Finish::Broken(side) => self.cut(side).await,
            Finish::Reset(end) => {
                self.client.reset();
                self.service.reset();
                end
            }
        }
    }

    fn poll(&mut self, cx: &mut Context, timer: Pin<&mut Sleep>) -> Poll<Finish> {
        if let Poll::Ready(why) = self.open.poll_terminated(cx) {
            return Poll::Ready(Finish::Reset(why.name()));
        }
        let to_service = self.to_service.poll(cx, &mut self.client, &mut self.service);
        let to_client = self.to_client.poll(cx, &mut self.service, &mut self.client);
        self.account();
        if let Poll::Ready(Err(broken)) = to_service
            && let Some(finish) = self.on_error(broken, Side::Client)
        {
            return Poll::Ready(finish);
        }
        if let Poll::Ready(Err(broken)) = to_client
            && let Some(finish) = self.on_error(broken, Side::Service)
        {
            return Poll::Ready(finish);
        }
        if self.to_service.is_done() && self.to_client.is_done() {
            let finish = self.broken.map_or(Finish::Closed, Finish::Broken);
            return Poll::Ready(finish);
        }
        if matches!((&to_service, &to_client), (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_)))) {
            // The other direction goes on.
            cx.waker().wake_by_ref();
        }
        self.poll_timer(cx, timer)
    }

    /// An error of the direction whose sender is `from`.
    fn on_error(&mut self, broken: BrokenEnd, from: Side) -> Option<Finish> {
        if broken == BrokenEnd::From {
            return Some(Finish::Broken(from));
        }
        // The receiver does not take more; what it has sent before is still forwarded.
        let (direction, opposite, receiver) = match from {
            Side::Client => (&mut self.to_service, &mut self.to_client, Side::Service),
            Side::Service => (&mut self.to_client, &mut self.to_service, Side::Client),
        };
        direction.stop();
        self.broken = Some(receiver);
        if opposite.has_ended() {
            return Some(Finish::Broken(receiver));
        }
        opposite.cut_at_end();
        None
    }

    /// Counts what was moved, and reports the first bytes of the service.
    fn account(&mut self) {
        let moved = [self.to_service.take_moved(), self.to_client.take_moved()];
        for (to, bytes) in ForwardedTo::ALL.into_iter().zip(moved) {
            if bytes > 0 {
                self.open.bytes[to as usize].fetch_add(bytes, Relaxed);
                self.open.route.metrics.add_bytes(self.worker, to, bytes);
            }
        }
        if moved != [0, 0] {
            self.active_at = Instant::now();
        }
        let has_ended = self.to_client.has_ended() || self.broken == Some(Side::Service);
        if self.report.is_some() && (moved[1] > 0 || has_ended) {
            self.report(moved[1] == 0);
        }
    }

    fn report(&mut self, has_ended: bool) {
        let Some(report) = self.report.take() else { return };
        let (cluster, now) = (&self.open.route.cluster, Instant::now());
        if has_ended && now - self.opened_at < EARLY_END {
            let failed = AttemptReport::Failed(ErrorCode::BackendReset);
            return cluster.record(&report.endpoint, failed, report.started, now);
        }
        report_success(cluster, &report.endpoint, report.started, now);
    }

    fn idle_deadline(&self) -> Instant {
        let config = &self.open.route.config;
        let is_half_closed = self.to_service.has_ended() || self.to_client.has_ended();
        self.active_at + if is_half_closed { config.half_close_timeout } else { config.idle_timeout }
    }

    fn deadline(&self) -> Instant {
        let duration = self.open.route.config.max_duration.map(|max| self.opened_at + max);
        let has_pipe = self.to_service.has_pipe() || self.to_client.has_pipe();
        let pipe = has_pipe.then_some(self.active_at + PIPE_IDLE_TIMEOUT);
        let deadlines = [Some(self.idle_deadline()), duration, pipe];
        deadlines.into_iter().flatten().min().unwrap_or(self.active_at)
    }

    fn poll_timer(&mut self, cx: &mut Context, mut timer: Pin<&mut Sleep>) -> Poll<Finish> {
        let deadline = self.deadline();
        if deadline < timer.deadline().into_std() {
            timer.as_mut().reset(deadline.into());
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.open.route.config.max_duration.is_some_and(|max| now >= self.opened_at + max) {
                return Poll::Ready(Finish::Reset("duration"));
            }
            if now >= self.idle_deadline() {
                return Poll::Ready(Finish::Reset("idle"));
            }
            if now >= self.active_at + PIPE_IDLE_TIMEOUT {
                self.to_service.release_pipe();
                self.to_client.release_pipe();
            }
            let next = self.deadline().max(now + Duration::from_millis(1));
            timer.as_mut().reset(next.into());
        }
        Poll::Pending
    }

    /// Writes what was read of the broken side to the other one, then resets it: a stream that was cut off does not look
    /// complete.
    async fn cut(mut self, broken: Side) -> &'static str {
        if broken == Side::Service {
            self.report(true);
        }
        let (direction, mut receiver, end) = match broken {
            Side::Client => (&mut self.to_service, self.service, "client.reset"),
            Side::Service => (&mut self.to_client, self.client, "backend.reset"),
        };
        let drained = async {
            poll_fn(|cx| direction.poll_drain(cx, &mut receiver)).await?;
            while !receiver.socket().is_acknowledged() {
                tokio::time::sleep(CUT_INTERVAL).await;
            }
            std::io::Result::Ok(())
        };
        let _ = tokio::time::timeout(CUT_TIMEOUT, drained).await;
        receiver.reset();
        end
    }
}
