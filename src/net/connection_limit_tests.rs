use super::*;
use crate::net::pool_key::PoolSlot;

/// A pool in which no connection is ever released.
struct EmptyPool;

impl IdleSource for EmptyPool {
    type Connection = Infallible;

    fn worker(&self) -> usize {
        0
    }

    fn accepts_released(&self) -> bool {
        true
    }

    fn register(&mut self, _ticket: u64, _limiter: &Arc<ConnectionLimiter>) {}

    fn take(&mut self) -> Option<Infallible> {
        None
    }
}

fn new_limiter(limit: ConnectionLimit) -> Arc<ConnectionLimiter> {
    ConnectionLimiter::new(limit, PoolSlot::claim().key())
}

fn limit(connections: usize, queue: usize) -> ConnectionLimit {
    ConnectionLimit {
        max_connections: connections,
        max_pending: queue,
        pending_timeout: Some(Duration::from_secs(5)),
    }
}

fn later() -> Instant {
    tokio::time::Instant::now().into_std() + Duration::from_secs(60)
}

fn open(_: &mut Context) -> Poll<()> {
    Poll::Pending
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_one_request_waits_and_the_next_is_rejected() {
    let limiter = new_limiter(limit(1, 1));
    let Ok(Acquired::Connect(first)) = limiter.acquire(EmptyPool, later(), open).await else {
        panic!("free")
    };
    let mut second = Box::pin(limiter.acquire(EmptyPool, later(), open));
    assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await.is_pending());
    assert_eq!(limiter.waiting(), 1);
    assert_eq!(limiter.acquire(EmptyPool, later(), open).await.err(), Some(AcquireError::QueueFull));
    drop(first);
    assert!(matches!(second.await, Ok(Acquired::Connect(_))));
    assert_eq!(limiter.waiting(), 0);
    assert!(
        matches!(limiter.acquire(EmptyPool, later(), open).await, Ok(Acquired::Connect(_))),
        "a permit is free again"
    );
}

#[tokio::test(start_paused = true)]
async fn the_permit_of_a_client_that_closed_goes_to_the_next_request() {
    let limiter = new_limiter(limit(1, 9));
    let Ok(held) = limiter.acquire(EmptyPool, later(), open).await else { panic!("free") };
    let closed = std::cell::Cell::new(false);
    let mut first = Box::pin(limiter.acquire(EmptyPool, later(), |_| match closed.get() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    }));
    let mut second = Box::pin(limiter.acquire(EmptyPool, later(), open));
    poll_fn(|cx| Poll::Ready((first.as_mut().poll(cx).is_ready(), second.as_mut().poll(cx).is_ready())))
        .await;
    closed.set(true);
    drop(held);
    assert_eq!(first.await.err(), Some(AcquireError::ClientClosed), "it is not sent");
    assert!(matches!(second.await, Ok(Acquired::Connect(_))));
}

#[test]
fn one_worker_with_idle_connections_is_selected_at_a_time() {
    let limiter = new_limiter(limit(1, 9));
    [0, 3, 70].into_iter().for_each(|worker| limiter.set_idle(worker, true));
    limiter.set_idle(0, false);
    limiter.set_idle(70, false);
    assert_eq!(limiter.take_idle_worker(), Some(IdleWorker::One(3)));
    assert_eq!(limiter.take_idle_worker(), Some(IdleWorker::From(63)), "not known of each of them");
    assert_eq!(limiter.take_idle_worker(), None);
}

#[tokio::test(start_paused = true)]
async fn a_queued_request_times_out() {
    let limiter = new_limiter(limit(1, 9));
    let Ok(held) = limiter.acquire(EmptyPool, later(), open).await else { panic!("free") };
    let start = tokio::time::Instant::now();
    assert_eq!(limiter.acquire(EmptyPool, later(), open).await.err(), Some(AcquireError::QueueTimeout));
    assert!(start.elapsed() >= Duration::from_secs(4));
    let closed = limiter.acquire(EmptyPool, later(), |_| Poll::Ready(())).await;
    assert_eq!((closed.err(), limiter.waiting()), (Some(AcquireError::ClientClosed), 0));
    drop(held);
    let without_timeout = new_limiter(ConnectionLimit { pending_timeout: None, ..limit(1, 1) });
    let Ok(_held) = without_timeout.acquire(EmptyPool, later(), open).await else { panic!("free") };
    assert_eq!(
        without_timeout.acquire(EmptyPool, later(), open).await.err(),
        Some(AcquireError::DeadlineExceeded)
    );
}
