//! The stage: slots, queues, releases.

use super::*;
use crate::pipeline::exchange::Peer;
use crate::state::{
    Cmd, SharedStateConfig, SharedStates, Value,
    testing::{RedisServer, connect, wait_until},
};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

fn exchange(from: &str) -> Exchange {
    let from = from.parse().expect("address");
    Exchange::new(Peer::new(from, from, false), 0, Instant::now())
}

fn settings(limit: usize, queue: usize, parts: Vec<KeyPart>) -> ConcurrencyLimitConfig {
    ConcurrencyLimitConfig {
        limit,
        queue,
        queue_timeout: Duration::from_secs(5),
        partition_by: parts,
        name: "r".into(),
        is_shared: false,
    }
}

async fn settle(stage: &Concurrency, exchange: &mut Exchange) -> Option<ErrorCode> {
    let mut step = stage.on_request(exchange);
    loop {
        step = match step {
            Step::Next => return None,
            Step::Fail(cause) => return Some(cause.code),
            Step::Suspend(queue_timeout) => queue_timeout.await,
            Step::ResumeAt(resume) => resume(exchange),
            Step::Respond(_) | Step::ReadBody(_) | Step::InspectBody(_) => panic!("unexpected step"),
        }
    }
}

#[tokio::test]
async fn a_dropped_exchange_releases_its_slot() {
    let stage = Concurrency::new(&settings(2, 0, vec![]), &ConcurrencyLimiters::default(), None);
    let (mut a, mut b, mut c) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"), exchange("1.1.1.1:3"));
    assert_eq!((settle(&stage, &mut a).await, settle(&stage, &mut b).await), (None, None));
    assert_eq!(settle(&stage, &mut c).await, Some(ErrorCode::LimitConcurrency));
    drop(a);
    assert_eq!(settle(&stage, &mut c).await, None);
    b.reset(Instant::now());
    assert_eq!(settle(&stage, &mut exchange("1.1.1.1:4")).await, None);
}

#[tokio::test]
async fn each_key_has_its_own_slots() {
    let stage = Concurrency::new(&settings(1, 0, vec![KeyPart::Ip]), &ConcurrencyLimiters::default(), None);
    let (mut a, mut b) = (exchange("1.1.1.1:1"), exchange("2.2.2.2:1"));
    assert_eq!((settle(&stage, &mut a).await, settle(&stage, &mut b).await), (None, None));
    assert_eq!(settle(&stage, &mut exchange("1.1.1.1:2")).await, Some(ErrorCode::LimitConcurrency));
    drop(a);
    assert_eq!(settle(&stage, &mut exchange("1.1.1.1:2")).await, None);
}

#[tokio::test(start_paused = true)]
async fn queued_requests_are_served_or_time_out() {
    let stage = Concurrency::new(&settings(1, 1, vec![]), &ConcurrencyLimiters::default(), None);
    let (mut a, mut b, mut c) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"), exchange("1.1.1.1:3"));
    assert_eq!(settle(&stage, &mut a).await, None);
    let Step::Suspend(queue_timeout) = stage.on_request(&mut b) else { panic!("b waits") };
    assert_eq!(settle(&stage, &mut c).await, Some(ErrorCode::LimitConcurrency), "the queue is full");
    drop(a);
    let Step::ResumeAt(resume) = queue_timeout.await else { panic!("b is served") };
    assert!(matches!(resume(&mut b), Step::Next));
    assert_eq!(b.response.guards.len(), 1);
    let started = tokio::time::Instant::now();
    assert_eq!(settle(&stage, &mut c).await, Some(ErrorCode::LimitQueueTimeout));
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    drop(b);
    assert_eq!(settle(&stage, &mut c).await, None);
}

#[tokio::test]
async fn a_dropped_request_leaves_the_queue() {
    let stage = Concurrency::new(&settings(1, 1, vec![]), &ConcurrencyLimiters::default(), None);
    let (mut a, mut b) = (exchange("1.1.1.1:1"), exchange("1.1.1.1:2"));
    assert_eq!(settle(&stage, &mut a).await, None);
    drop(stage.on_request(&mut b));
    let Step::Suspend(_) = stage.on_request(&mut b) else { panic!("expected a free position in the queue") };
    drop(a);
    assert_eq!(settle(&stage, &mut b).await, None);
}

#[tokio::test]
async fn queued_requests_are_served_in_the_order_of_their_arrival() {
    let stage = Concurrency::new(&settings(1, 3, vec![]), &ConcurrencyLimiters::default(), None);
    let mut first = exchange("1.1.1.1:1");
    assert_eq!(settle(&stage, &mut first).await, None);
    let waiting: Vec<_> =
        (2..5).map(|port| stage.on_request(&mut exchange(&format!("1.1.1.1:{port}")))).collect();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tasks = waiting.into_iter().enumerate().map(|(at, step)| {
        let order = order.clone();
        tokio::spawn(async move {
            let Step::Suspend(wait) = step else { panic!("{at} waits") };
            let Step::ResumeAt(_slot) = wait.await else { panic!("{at} is served") };
            order.lock().expect("the order").push(at);
        })
    });
    let tasks: Vec<_> = tasks.collect();
    tokio::task::yield_now().await;
    drop(first);
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(*order.lock().expect("the order"), [0, 1, 2]);
}

#[tokio::test]
async fn a_new_plan_with_the_same_limit_shares_its_slots() {
    let limiters = ConcurrencyLimiters::default();
    let (old, mut a) = (Concurrency::new(&settings(1, 0, vec![]), &limiters, None), exchange("1.1.1.1:1"));
    assert_eq!(settle(&old, &mut a).await, None);
    let new = Concurrency::new(&settings(1, 0, vec![]), &limiters, None);
    drop(old);
    assert_eq!(settle(&new, &mut exchange("1.1.1.1:2")).await, Some(ErrorCode::LimitConcurrency));
}

#[test]
fn the_limit_is_exact_across_threads() {
    let limiters = ConcurrencyLimiters::default();
    let stage = Concurrency::new(&settings(3, 0, vec![KeyPart::Ip]), &limiters, None);
    let (now, highest) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let send_requests = || {
        for _ in 0..2000 {
            let mut exchange = exchange("1.1.1.1:1");
            if let Step::Next = stage.on_request(&mut exchange) {
                highest.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
                now.fetch_sub(1, Relaxed);
            }
        }
    };
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(send_requests))));
    assert!((1..=3).contains(&highest.load(Relaxed)), "{highest:?}");
}

/// The stage of another gateway on this server.
fn shared_stage(
    server: &RedisServer,
    limit: usize,
    queue: usize,
) -> (Concurrency, (SharedStates, Arc<SharedState>)) {
    let connected = connect(&SharedStateConfig::local(server.port));
    let settings = ConcurrencyLimitConfig { is_shared: true, ..settings(limit, queue, vec![]) };
    (Concurrency::new(&settings, &ConcurrencyLimiters::default(), Some(&connected.1)), connected)
}

#[tokio::test]
async fn gateways_share_the_slots_of_a_limit() {
    let server = RedisServer::start();
    let ((one, _first), (two, _second)) = (shared_stage(&server, 3, 0), shared_stage(&server, 3, 0));
    let mut exchanges: Vec<_> = (1..=4).map(|n| exchange(&format!("1.1.1.1:{n}"))).collect();
    let mut outcomes = Vec::new();
    for (stage, exchange) in [&one, &two, &one, &two].into_iter().zip(&mut exchanges) {
        outcomes.push(settle(stage, exchange).await);
    }
    assert_eq!(outcomes, [None, None, None, Some(ErrorCode::LimitConcurrency)]);
    exchanges.truncate(2);
    let started_at = Instant::now();
    while settle(&two, &mut exchange("1.1.1.1:5")).await.is_some() {
        assert!(started_at.elapsed() < Duration::from_secs(2), "the slot is not given back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_queued_request_gets_the_slot_that_another_gateway_gives_back() {
    let server = RedisServer::start();
    let ((one, _first), (two, _second)) = (shared_stage(&server, 1, 1), shared_stage(&server, 1, 1));
    let mut first = exchange("1.1.1.1:1");
    assert_eq!(settle(&one, &mut first).await, None);
    let release = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        drop(first);
    };
    let mut second = exchange("1.1.1.1:2");
    let (outcome, ()) = tokio::join!(settle(&two, &mut second), release);
    assert_eq!(outcome, None);
}

#[tokio::test]
async fn slots_of_a_gateway_that_has_ended_expire_and_those_of_another_version_are_an_error() {
    let server = RedisServer::start();
    let (stage, (_states, state)) = shared_stage(&server, 1, 0);
    let mut first = exchange("1.1.1.1:1");
    assert_eq!(settle(&stage, &mut first).await, None);
    let keys = state.command(Cmd::new().arg("KEYS").arg("test:concurrency:*"), Duration::from_secs(1)).await;
    let Ok(Value::Array(keys)) = keys else { panic!("{keys:?}") };
    let [Value::BulkString(key)] = keys.as_slice() else { panic!("{keys:?}") };
    drop(first);
    for (value, outcome) in
        [("1 1 5", None), ("1 1 99999999999999", Some(ErrorCode::LimitConcurrency)), ("7 ?", None)]
    {
        let ended = [b"DEL".as_slice(), key].iter().fold(Cmd::new(), |mut all, part| {
            all.arg(*part);
            all
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        state.command(&ended, Duration::from_secs(1)).await.expect("a reply");
        let mut other = Cmd::new();
        other.arg("HSET").arg(key.as_slice()).arg("other").arg(value);
        state.command(&other, Duration::from_secs(1)).await.expect("a reply");
        let result = settle(&stage, &mut exchange("1.1.1.1:2")).await;
        assert_eq!(result, outcome, "{value}: an unreadable value leaves the decision to the gateway");
    }
}

#[tokio::test]
async fn without_redis_the_gateway_limits_by_itself() {
    let mut server = RedisServer::start();
    let (stage, (_states, state)) = shared_stage(&server, 1, 0);
    server.stop();
    wait_until(|| !state.is_available());
    let mut first = exchange("1.1.1.1:1");
    assert_eq!(settle(&stage, &mut first).await, None);
    assert_eq!(settle(&stage, &mut exchange("1.1.1.1:2")).await, Some(ErrorCode::LimitConcurrency));
}
