//! The script against the local limiter, and gateways that share a limit on a real Redis server.

use super::{
    LeaseSize, Scope,
    group::SharedGroup,
    leases::Verdict,
    limiter::{ACQUIRE_CODE, SharedLimiter, acquire},
    reply::Reply,
};
use crate::{
    stages::{
        partition_key::Key,
        rate_limit::{Algorithm, fixed_window::FixedWindow, store::Counter, token_bucket::TokenBucket},
    },
    state::{
        Script, SharedState, SharedStateConfig, Value,
        testing::{RedisServer, connect},
    },
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

const S: u64 = 1_000_000_000;
/// The first second of the mock clock.
const START: u64 = 1_700_000_000;

fn window(limit: u64, period_ms: u64, penalty_ms: u64) -> Algorithm {
    let (period_ns, penalty_ns) = (period_ms * 1_000_000, penalty_ms * 1_000_000);
    Algorithm::Window(FixedWindow { limit, period_ns, penalty_ns })
}

fn bucket(limit: u32, period_ms: u64, burst: u32) -> Algorithm {
    let some = |n: u32| NonZeroU32::new(n).expect("not zero");
    let bucket = TokenBucket::new(some(limit), Duration::from_millis(period_ms), some(burst));
    Algorithm::Bucket(bucket.expect("a bucket"))
}

fn group(limits: &[Algorithm], lease: LeaseSize) -> SharedGroup {
    SharedGroup::new(limits.iter().map(|limit| (limit, Scope::Shared(lease)))).expect("limits")
}

/// The local limiter: all limits, or none.
struct Local {
    limits: Vec<Algorithm>,
    counters: Vec<Option<Counter>>,
}

impl Local {
    /// The index of the rejecting limit, the remaining requests of each limit that was asked, and the time until the next.
    fn acquire(&mut self, now_ns: u64) -> (Option<usize>, Vec<u64>, u64) {
        let (mut counted, mut remaining) = (Vec::<(usize, u64)>::new(), Vec::new());
        for (at, limit) in self.limits.iter().enumerate() {
            let known = self.counters[at].filter(|counter| counter.expires_at_ns > now_ns);
            let (counter, (decision, start)) = limit.try_acquire(known, now_ns);
            self.counters[at] = Some(counter);
            remaining.push(decision.remaining);
            if !decision.admitted {
                for (at, start) in counted {
                    let refunded = self.counters[at].map(|counter| self.limits[at].refund(counter, start));
                    self.counters[at] = refunded;
                }
                return (Some(at), remaining, decision.retry_at_ns - now_ns);
            }
            counted.push((at, start));
        }
        (None, remaining, 0)
    }
}

fn limits() -> impl Strategy<Value = Vec<Algorithm>> {
    let windows = (0u64..6, 1u64..3000, prop_oneof![Just(0u64), 1u64..4000])
        .prop_map(|(limit, period, penalty)| window(limit, period, penalty));
    let buckets =
        (1u32..9, 1u64..3000, 1u32..7).prop_map(|(limit, period, burst)| bucket(limit, period, burst));
    vec(prop_oneof![windows, buckets], 1..4)
}

/// The script with the clock of the last two arguments.
fn with_mock_clock() -> Script {
    let code = ACQUIRE_CODE.replace("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }");
    assert_ne!(code, ACQUIRE_CODE);
    Script::composed(code)
}

async fn call(
    state: &SharedState,
    script: &Script,
    group: &SharedGroup,
    names: &[Vec<u8>],
    requests: usize,
    now_ns: u64,
) -> Reply {
    let mut arguments = group.script_arguments(0..names.len(), requests, 0, 0, &[]);
    arguments.push((START + now_ns / S).to_string().into_bytes());
    arguments.push((now_ns % S / 1000).to_string().into_bytes());
    let reply = state.script(script, names, &arguments, Duration::from_secs(5)).await.expect("a reply");
    Reply::parse(&reply).expect("a reply")
}

#[test]
fn the_script_decides_as_the_local_limiter_on_random_sequences() {
    let server = RedisServer::start();
    let (_states, state) = connect(&SharedStateConfig::local(server.port));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (script, case) = (with_mock_clock(), std::cell::Cell::new(0));
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let result = runner.run(&(limits(), vec((0u64..1_500_000, 1usize..4), 1..30)), |(limits, steps)| {
        case.set(case.get() + 1);
        let names: Vec<_> = (0..limits.len()).map(|at| format!("{}-{at}", case.get()).into_bytes()).collect();
        let group = group(&limits, LeaseSize::Fixed(1));
        let counters = vec![None; limits.len()];
        let (mut local, mut now_ns) = (Local { limits, counters }, 0);
        for (micros, requests) in steps {
            now_ns += micros * 1000;
            let reply = runtime.block_on(call(&state, &script, &group, &names, requests, now_ns));
            let mut admitted = 0;
            for _ in 0..requests {
                let (rejecting, remaining, retry_in_ns) = local.acquire(now_ns);
                if rejecting.is_none() {
                    admitted += 1;
                    let left: Vec<_> = reply.limits.iter().map(|limit| limit.remaining).collect();
                    prop_assert!(reply.rejecting.is_some() || admitted < requests || left == remaining);
                } else {
                    prop_assert_eq!((reply.rejecting, reply.retry_in_ns), (rejecting, retry_in_ns));
                    break;
                }
            }
            prop_assert_eq!(reply.admitted, admitted as u64);
        }
        Ok(())
    });
    result.expect("equal decisions");
}

#[tokio::test]
async fn returned_tokens_are_available_again_in_the_same_window_only() {
    let server = RedisServer::start();
    let (_states, state) = connect(&SharedStateConfig::local(server.port));
    let limits = [window(4, 60_000, 0)];
    let (group, names) = (group(&limits, LeaseSize::Fixed(100)), smallvec::smallvec![b"k".to_vec()]);
    let first = acquire(&state, &group, &names, 1, 99).await.expect("a reply");
    assert_eq!((first.admitted, first.leased, first.limits[0].remaining), (1, 3, 0));
    for (id, left) in [(b"1:2".to_vec(), 0), (first.limits[0].window_id.clone(), 2)] {
        let arguments = group.script_arguments(0..1, 0, 0, 2, &[id]);
        let reply = state.script(&super::limiter::ACQUIRE, &names, &arguments, Duration::from_secs(1)).await;
        assert_eq!(Reply::parse(&reply.expect("a reply")).expect("a reply").limits[0].remaining, left);
    }
    assert_eq!(
        state.command(crate::state::Cmd::new().arg("PTTL").arg("none"), Duration::from_secs(1)).await,
        Ok(Value::Int(-2))
    );
}

#[tokio::test]
async fn a_value_of_another_version_is_an_error() {
    let server = RedisServer::start();
    let (_states, state) = connect(&SharedStateConfig::local(server.port));
    let (group, names) =
        (group(&[window(4, 60_000, 0)], LeaseSize::Fixed(1)), smallvec::smallvec![b"k".to_vec()]);
    for (set, code) in [(&["SET", "k", "2 other"][..], "FORMAT"), (&["RPUSH", "k", "1"], "WRONGTYPE")] {
        let mut command = crate::state::Cmd::new();
        for word in set {
            command.arg(*word);
        }
        state
            .command(crate::state::Cmd::new().arg("DEL").arg("k"), Duration::from_secs(1))
            .await
            .expect("a reply");
        state.command(&command, Duration::from_secs(1)).await.expect("a reply");
        let error = acquire(&state, &group, &names, 1, 0).await.expect_err("an error");
        assert!(error.to_string().starts_with(code), "{error}");
    }
}

/// Requests of 64 tasks on each of two gateways; how many were admitted.
async fn admitted_by_two(
    server: &RedisServer,
    algorithm: Algorithm,
    lease: LeaseSize,
    requests: usize,
) -> u64 {
    let group = Arc::new(group(&[algorithm], lease));
    let mut tasks = tokio::task::JoinSet::new();
    let mut gateways = Vec::new();
    for _ in 0..2 {
        let (states, state) = connect(&SharedStateConfig::local(server.port));
        let epoch = Instant::now();
        let limiter = SharedLimiter::start(&state, epoch);
        for _ in 0..64 {
            let (limiter, group) = (limiter.clone(), group.clone());
            tasks.spawn(async move {
                let mut admitted = 0;
                for _ in 0..requests {
                    let key = Key([1, 2]);
                    let now_ns = epoch.elapsed().as_nanos() as u64;
                    let verdict = match limiter.decide(key, now_ns) {
                        Some(verdict) => verdict,
                        None => {
                            let names = smallvec::smallvec![limiter.counter_name(b"k")];
                            limiter.ask(key, &group, names).expect("asked").await.expect("a verdict")
                        }
                    };
                    admitted += u64::from(matches!(verdict, Verdict::Admitted(_)));
                }
                admitted
            });
        }
        gateways.push((states, state, limiter));
    }
    tasks.join_all().await.into_iter().sum()
}

#[tokio::test]
async fn two_gateways_admit_exactly_the_limit() {
    for lease in [LeaseSize::Fixed(1), LeaseSize::Adaptive, LeaseSize::Fixed(10)] {
        for algorithm in
            [window(1000, 600_000, 0), window(1000, 600_000, 60_000), bucket(1000, 600_000_000, 1000)]
        {
            let server = RedisServer::start();
            assert_eq!(admitted_by_two(&server, algorithm, lease, 40).await, 1000, "{algorithm:?} {lease:?}");
        }
    }
}
