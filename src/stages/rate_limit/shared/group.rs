//! The shared limits of a stage: they admit a request together.

use super::{super::Algorithm, LeaseSize, Scope};
use crate::stages::partition_key::Key;
use smallvec::SmallVec;

/// The largest part of a limit that an adaptive lease may hold.
const ADAPTIVE_PART: u64 = 16;
/// The largest lease.
const MAX_LEASE: u64 = 1000;
/// A lease is at most this part of the remaining requests if it is adaptive: the last ones are counted one by one.
const ADAPTIVE_DIVISOR: u32 = 4;

/// Names of counters on Redis, in the order of the limits.
pub type CounterNames = SmallVec<[Vec<u8>; 1]>;

/// What the script needs to know of the limits, the same for all requests.
#[derive(Debug)]
pub struct SharedGroup {
    /// Kind, three numbers, for each limit.
    pub arguments: Box<[[Vec<u8>; 4]]>,
    /// Whether the window of a limit ends its leases.
    pub has_window: Box<[bool]>,
    /// The largest lease; 0: every request is counted on Redis.
    pub max_lease: u32,
    /// Whether leases grow with the rate of requests.
    pub is_adaptive: bool,
}

impl SharedGroup {
    /// The group of these limits; `None` if there are none.
    pub fn new<'l>(limits: impl Iterator<Item = (&'l Algorithm, Scope)>) -> Option<SharedGroup> {
        let (mut arguments, mut has_window) = (Vec::new(), Vec::new());
        let (mut max_lease, mut is_adaptive) = (MAX_LEASE, false);
        for (algorithm, scope) in limits {
            let Scope::Shared(lease) = scope else { continue };
            max_lease = max_lease.min(match lease {
                LeaseSize::Fixed(tokens) => u64::from(tokens).saturating_sub(1),
                LeaseSize::Adaptive => algorithm.capacity() / ADAPTIVE_PART,
            });
            is_adaptive |= lease == LeaseSize::Adaptive;
            arguments.push(encode(algorithm));
            has_window.push(matches!(algorithm, Algorithm::Window(_)));
        }
        (!arguments.is_empty()).then(|| SharedGroup {
            arguments: arguments.into(),
            has_window: has_window.into(),
            max_lease: max_lease as u32,
            is_adaptive,
        })
    }

    /// The arguments of the script: a call for requests, with a lease, or to return tokens.
    pub fn script_arguments(
        &self,
        limits: std::ops::Range<usize>,
        requests: usize,
        lease: u32,
        returned: u32,
        ids: &[Vec<u8>],
    ) -> Vec<Vec<u8>> {
        let divisor = if self.is_adaptive { ADAPTIVE_DIVISOR } else { 1 };
        let mut all = Vec::with_capacity(4 + limits.len() * 5);
        all.extend([
            number(requests as u64),
            number(lease.into()),
            number(divisor.into()),
            number(returned.into()),
        ]);
        for at in limits {
            all.extend(self.arguments[at].iter().cloned());
            all.push(ids.get(at).cloned().unwrap_or_default());
        }
        all
    }
}

fn encode(algorithm: &Algorithm) -> [Vec<u8>; 4] {
    match algorithm {
        Algorithm::Window(window) => {
            [b"w".to_vec(), number(window.limit), number(window.period_ns), number(window.penalty_ns)]
        }
        Algorithm::Bucket(bucket) => {
            [b"b".to_vec(), number(bucket.emission_interval_ns()), number(bucket.burst()), number(0)]
        }
    }
}

fn number(n: u64) -> Vec<u8> {
    n.to_string().into_bytes()
}

/// One key for the counters of all limits of a request.
pub fn combine(keys: &[Key]) -> Key {
    match keys {
        [only] => *only,
        keys => keys.iter().fold(Key([0, 0]), |all, key| {
            Key([all.0[0].rotate_left(7) ^ key.0[0], all.0[1].rotate_left(7) ^ key.0[1]])
        }),
    }
}
