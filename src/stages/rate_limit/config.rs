//! Rate limits, as the blueprint has them.

use super::{
    fixed_window::{Decision, FixedWindow},
    shared::Scope,
    store::Counter,
    token_bucket::TokenBucket,
};
use crate::stages::partition_key::KeyPart;

/// How requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Window(FixedWindow),
    Bucket(TokenBucket),
}

impl Algorithm {
    /// Counts a request: the new counter, the decision, and the start of the window.
    pub fn try_acquire(&self, counter: Option<Counter>, now_ns: u64) -> (Counter, (Decision, u64)) {
        let (counter, decision) = match self {
            Algorithm::Window(window) => window.try_acquire(counter, now_ns),
            Algorithm::Bucket(bucket) => bucket.try_acquire(counter, now_ns),
        };
        (counter, (decision, counter.window_start_ns))
    }

    /// Returns a request that was counted in the window with this start.
    pub fn refund(&self, counter: Counter, window_start_ns: u64) -> Counter {
        match self {
            Algorithm::Window(_) => FixedWindow::refund(counter, window_start_ns),
            Algorithm::Bucket(bucket) => bucket.refund(counter),
        }
    }

    /// Requests that are admitted in a burst.
    pub fn capacity(&self) -> u64 {
        match self {
            Algorithm::Window(window) => window.limit,
            Algorithm::Bucket(bucket) => bucket.burst(),
        }
    }
}

/// One limit, as the blueprint has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Sent to the client.
    pub name: String,
    /// `limit/period/wWAIT`, for descriptions.
    pub rule: String,
    /// The name of the counters; equal names share them.
    pub counter: String,
    pub algorithm: Algorithm,
    /// Where it is counted.
    pub scope: Scope,
    /// Requests in a period, and the period in seconds; sent to the client.
    pub policy: (u64, u64),
    pub parts: Vec<KeyPart>,
    /// Client IDs without a limit.
    pub exempt_clients: Vec<String>,
    pub status: u16,
    /// The message when the limit is exceeded.
    pub message: String,
    /// The message for a request without a client ID.
    pub on_missing_client_id: String,
}

/// The response fields with the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    None,
    /// Only those of Ocelot.
    Ocelot,
    /// Those of Ocelot and of the IETF draft.
    Both,
}

/// All limits of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitConfig {
    pub limits: Vec<Limit>,
    pub fields: Fields,
    /// Responses as in Ocelot instead of problem details.
    pub ocelot: bool,
}
