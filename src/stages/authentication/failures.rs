//! Wrong passwords, counted by client address and by name at that address. Later ones wait longer, so that guessing takes
//! long and a flood leaves the threads to others.

use super::verification_pool::{JobSource, Priority};
use crate::base::client_prefix::ClientPrefix;
use moka::sync::Cache;
use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Time after which failures are forgotten.
const FAILURE_TTL: Duration = Duration::from_secs(60);
/// Addresses and names with failures; the oldest are forgotten first.
const MAX_COUNTED: u64 = 20_000;
/// Failures of an address without a delay.
const MAX_FREE_FAILURES: u32 = 5;
/// Failures of a name from one address without a lower priority.
const MAX_FREE_FAILURES_PER_NAME: u32 = 3;
/// Growth of the delay with each failure.
const DELAY_STEP_INTERVAL: Duration = Duration::from_millis(100);

/// Recent wrong passwords of one scheme.
#[derive(Debug)]
pub struct Failures {
    max_delay: Duration,
    hasher: RandomState,
    counts: Cache<u64, u32>,
}

/// The origin of a password.
#[derive(Clone, Copy, Debug)]
pub struct PasswordSource {
    client: ClientPrefix,
    address_key: u64,
    name_key: u64,
}

impl Failures {
    /// No failures yet; responses are delayed by `max_delay` at most.
    pub fn new(max_delay: Duration) -> Failures {
        let counts = Cache::builder().max_capacity(MAX_COUNTED).time_to_idle(FAILURE_TTL).build();
        Failures { max_delay, hasher: RandomState::new(), counts }
    }

    /// The origin of a password for this name.
    pub fn source(&self, client: ClientPrefix, name: &str) -> PasswordSource {
        PasswordSource {
            client,
            address_key: self.hasher.hash_one(client),
            name_key: self.hasher.hash_one((client, name)),
        }
    }

    /// The place of a password from there in the queue.
    pub fn job(&self, source: &PasswordSource) -> JobSource {
        JobSource { client: source.client, name: source.name_key, priority: self.priority(source) }
    }

    fn priority(&self, source: &PasswordSource) -> Priority {
        let count = |key: &u64| self.counts.get(key).unwrap_or(0);
        if count(&source.name_key) >= MAX_FREE_FAILURES_PER_NAME {
            Priority::Lowest
        } else if count(&source.address_key) >= MAX_FREE_FAILURES {
            Priority::Low
        } else {
            Priority::High
        }
    }

    /// Whether the address guesses, and its responses are slowed.
    pub fn slows(&self, source: &PasswordSource) -> bool {
        !self.max_delay.is_zero() && self.counts.get(&source.address_key).unwrap_or(0) >= MAX_FREE_FAILURES
    }

    /// Counts a wrong password; returns the delay of its response.
    pub fn record(&self, source: &PasswordSource) -> Duration {
        let [of_address, _] = [source.address_key, source.name_key].map(|key| {
            let count = self.counts.get(&key).unwrap_or(0).saturating_add(1);
            self.counts.insert(key, count);
            count
        });
        let beyond = of_address.saturating_sub(MAX_FREE_FAILURES);
        DELAY_STEP_INTERVAL.saturating_mul(beyond).min(self.max_delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn client(n: u8) -> ClientPrefix {
        IpAddr::from([10, 0, 0, n]).into()
    }

    #[test]
    fn delay_and_priority_follow_the_failures_of_an_address() {
        let failures = Failures::new(Duration::from_secs(1));
        let (ann, bob) = (failures.source(client(1), "ann"), failures.source(client(1), "bob"));
        let delays: Vec<u64> = (0..20).map(|_| failures.record(&ann).as_millis() as u64).collect();
        assert_eq!((delays[4], delays[5], delays[6], delays[19]), (0, 100, 200, 1000));
        assert_eq!(failures.priority(&ann), Priority::Lowest);
        assert_eq!(failures.priority(&bob), Priority::Low);
        assert_eq!(failures.priority(&failures.source(client(2), "ann")), Priority::High);
        assert!(failures.slows(&bob) && !failures.slows(&failures.source(client(2), "ann")));
    }
}
