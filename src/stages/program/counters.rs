//! What programs count across exchanges and plans: rates in sliding windows, quotas in fixed ones, calls under way, and
//! values that statements keep.

use super::{
    backend::{Breaker, BreakerRule},
    sharded::Sharded,
};
use crate::{
    base::expr::Value,
    state::database::{Database, QuotaRow},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// A sliding window: the count of the current period, and that of the one before.
#[derive(Clone, Copy, Debug)]
pub struct RateWindow {
    start: Instant,
    current: u64,
    previous: u64,
}

/// The decision of a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateDecision {
    pub is_admitted: bool,
    pub remaining: u64,
    /// Whole seconds until one call would pass.
    pub retry_after: u64,
}

impl RateWindow {
    /// The first window begins with the first counted call.
    pub fn new(now: Instant) -> RateWindow {
        RateWindow { start: now, current: 0, previous: 0 }
    }

    fn advance(&mut self, period: Duration, now: Instant) {
        let elapsed = now.saturating_duration_since(self.start);
        if elapsed < period {
            return;
        }
        let windows = (elapsed.as_nanos() / period.as_nanos().max(1)) as u32;
        self.previous = if windows == 1 { self.current } else { 0 };
        self.current = 0;
        self.start += period * windows;
        if self.previous == 0 {
            // Without a neighbor the next window begins with the next counted call.
            self.start = now;
        }
    }

    /// The calls that count now.
    fn used(&self, period: Duration, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.start).as_secs_f64();
        self.current as f64 + self.previous as f64 * (1.0 - elapsed / period.as_secs_f64()).max(0.0)
    }

    /// Admits a call that counts `increment`, and counts it; an increment of 0 is admitted while anything is left.
    pub fn admit(&mut self, limit: u64, period: Duration, increment: u64, now: Instant) -> RateDecision {
        self.advance(period, now);
        let used = self.used(period, now);
        let is_admitted = used + increment.max(1) as f64 <= limit as f64 + 1e-9;
        if is_admitted {
            self.current += increment;
        }
        self.decision(is_admitted, limit, period, now)
    }

    /// Adds calls without a check.
    pub fn add(&mut self, period: Duration, increment: u64, now: Instant) {
        self.advance(period, now);
        self.current += increment;
    }

    /// Takes counted calls back.
    pub fn give_back(&mut self, period: Duration, increment: u64, now: Instant) {
        self.advance(period, now);
        self.current = self.current.saturating_sub(increment);
    }

    /// Whether what is counted, this call included, is within another limit.
    pub fn is_within(&mut self, limit: u64, period: Duration, now: Instant) -> RateDecision {
        self.advance(period, now);
        let is_admitted = self.used(period, now) <= limit as f64 + 1e-9;
        self.decision(is_admitted, limit, period, now)
    }

    fn decision(&self, is_admitted: bool, limit: u64, period: Duration, now: Instant) -> RateDecision {
        let left = limit as f64 - self.used(period, now);
        let remaining = (left + 1e-9).floor().max(0.0) as u64;
        let retry_after = if is_admitted { 0 } else { self.retry_after(limit, period, now) };
        RateDecision { is_admitted, remaining, retry_after }
    }

    /// Whole seconds, rounded up, until a call of 1 passes.
    fn retry_after(&self, limit: u64, period: Duration, now: Instant) -> u64 {
        let (elapsed, length) =
            (now.saturating_duration_since(self.start).as_secs_f64(), period.as_secs_f64());
        let free = limit as f64 - 1.0;
        let in_window = |current: f64, previous: f64| {
            // current + previous * (1 - t / length) <= free
            if current > free {
                None
            } else if previous <= 0.0 {
                Some(0.0)
            } else {
                Some((length * (1.0 - (free - current) / previous)).max(0.0))
            }
        };
        let at = match in_window(self.current as f64, self.previous as f64) {
            Some(at) if at < length => at - elapsed,
            _ => match in_window(0.0, self.current as f64) {
                Some(at) => length + at - elapsed,
                None => 2.0 * length - elapsed,
            },
        };
        ((at - 1e-6).ceil().max(1.0)) as u64
    }

    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.start) > Duration::from_secs(600)
    }
}

/// The count of a quota in its window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaCount {
    /// The start of the window in seconds since 1970.
    pub start: i64,
    /// The end; `i64::MAX` without a period.
    pub end: i64,
    pub calls: u64,
    pub bytes: u64,
}

/// The limits of a quota.
#[derive(Clone, Copy, Debug)]
pub struct QuotaLimits {
    pub calls: Option<u64>,
    /// In bytes.
    pub bandwidth: Option<u64>,
    /// Seconds; 0: for ever.
    pub period: u64,
    /// Seconds since 1970.
    pub anchor: i64,
}

/// Why a quota refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaRefusal {
    Calls { seconds: Option<u64> },
    Bandwidth { seconds: Option<u64> },
}

impl QuotaLimits {
    /// The window of a time.
    pub fn window(&self, now: i64) -> (i64, i64) {
        if self.period == 0 {
            return (self.anchor, i64::MAX);
        }
        let period = self.period as i64;
        let start = self.anchor + (now - self.anchor).div_euclid(period) * period;
        (start, start + period)
    }
}

impl QuotaCount {
    /// Begins a new window if the old one has ended.
    pub fn advance(&mut self, limits: &QuotaLimits, now: i64) {
        let (start, end) = limits.window(now);
        if now >= self.end || self.start != start {
            *self = QuotaCount { start, end, calls: 0, bytes: 0 };
        }
    }

    /// Admits a call that counts `increment`, and counts it.
    pub fn admit(&mut self, limits: &QuotaLimits, increment: u64, now: i64) -> Result<(), QuotaRefusal> {
        self.advance(limits, now);
        let seconds = (self.end != i64::MAX).then(|| (self.end - now).max(1) as u64);
        if limits.calls.is_some_and(|calls| self.calls + increment.max(1) > calls) {
            return Err(QuotaRefusal::Calls { seconds });
        }
        if limits.bandwidth.is_some_and(|bytes| self.bytes >= bytes) {
            return Err(QuotaRefusal::Bandwidth { seconds });
        }
        self.calls += increment;
        Ok(())
    }
}

/// A kept value.
#[derive(Clone, Debug)]
pub struct KeptValue {
    pub value: Value,
    pub stored: Instant,
    pub expires: Instant,
    pub bytes: usize,
}

/// Memory for kept values and responses.
const MAX_KEPT_BYTES: u64 = 64 << 20;

/// The counters of all programs of the process.
#[derive(Debug)]
pub struct Counters {
    rates: Sharded<RateWindow>,
    quotas: Sharded<QuotaCount>,
    under_way: Sharded<u64>,
    breakers: Mutex<HashMap<String, Arc<Breaker>>>,
    kept: moka::sync::Cache<Box<str>, Arc<KeptValue>>,
    /// Fills of `cache-value` that are under way.
    fills: Mutex<HashMap<Box<str>, Arc<Notify>>>,
    /// Where quotas are kept over a restart; empty without a store.
    database: OnceLock<Arc<Database>>,
}

impl Default for Counters {
    #[expect(clippy::borrowed_box, reason = "a weigher gets references of the types that are stored")]
    fn default() -> Self {
        let kept = moka::sync::Cache::builder()
            .max_capacity(MAX_KEPT_BYTES)
            .weigher(|key: &Box<str>, kept: &Arc<KeptValue>| {
                u32::try_from(key.len() + kept.bytes + 128).unwrap_or(u32::MAX)
            })
            .build();
        Counters {
            rates: Sharded::default(),
            quotas: Sharded::default(),
            under_way: Sharded::default(),
            breakers: Mutex::default(),
            kept,
            fills: Mutex::default(),
            database: OnceLock::new(),
        }
    }
}

/// A fill of `cache-value`; those that wait for it go on when it is dropped.
#[derive(Debug)]
pub struct Fill {
    counters: Arc<Counters>,
    key: Box<str>,
}

impl Drop for Fill {
    fn drop(&mut self) {
        let ended = self.counters.fills.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        if let Some(ended) = ended {
            ended.notify_waiters();
        }
    }
}

impl Counters {
    /// A kept value that has not expired.
    pub fn kept(&self, key: &str) -> Option<Arc<KeptValue>> {
        self.kept.get(key).filter(|kept| Instant::now() < kept.expires)
    }

    /// Keeps a value.
    pub fn keep(&self, key: &str, value: Value, duration: Duration, bytes: usize) {
        let stored = Instant::now();
        let kept = KeptValue { value, stored, expires: stored + duration, bytes };
        self.kept.insert(key.into(), Arc::new(kept));
    }

    /// Removes a kept value.
    pub fn forget(&self, key: &str) {
        self.kept.invalidate(key);
    }

    /// Begins to fill a value; otherwise what is notified when the fill under way ends.
    pub fn begin_fill(self: &Arc<Self>, key: &str) -> Result<Fill, Arc<Notify>> {
        let mut fills = self.fills.lock().unwrap_or_else(PoisonError::into_inner);
        match fills.get(key) {
            Some(waiting) => Err(waiting.clone()),
            None => {
                fills.insert(key.into(), Arc::default());
                Ok(Fill { counters: self.clone(), key: key.into() })
            }
        }
    }

    /// Whether a fill is under way.
    pub fn is_filling(&self, key: &str) -> bool {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// Changes the window of a rate.
    pub fn rate<R>(&self, key: &str, now: Instant, change: impl FnOnce(&mut RateWindow) -> R) -> R {
        self.rates.with(key, || RateWindow::new(now), |window| window.is_old(now), change)
    }

    /// Changes the count of a quota.
    pub fn quota<R>(&self, key: &str, change: impl FnOnce(&mut QuotaCount) -> R) -> R {
        self.quotas.with(key, QuotaCount::default, |_| false, change)
    }

    /// The count of a quota that was used.
    pub fn quota_count(&self, key: &str) -> Option<QuotaCount> {
        self.quotas.get(key, |count| *count)
    }

    /// Stores the count of a quota; the receiver ends when it is durable. `None`: the call does not wait for it.
    pub fn save_quota(&self, key: &str) -> Option<tokio::sync::oneshot::Receiver<()>> {
        let database = self.database.get()?;
        let QuotaCount { start, end, calls, bytes } = self.quota_count(key)?;
        database.save_quota(key, QuotaRow { start, end, calls, bytes })
    }

    /// Keeps quotas in a database from now on, and continues with what it contains.
    pub fn attach(&self, database: Arc<Database>, stored: Vec<(String, QuotaRow)>) {
        for (key, QuotaRow { start, end, calls, bytes }) in stored {
            self.quota(&key, |count| *count = QuotaCount { start, end, calls, bytes });
        }
        let _ = self.database.set(database);
    }

    /// Takes a slot of `limit-concurrency`.
    pub fn enter(self: &Arc<Self>, key: &str, max: u64) -> Option<Slot> {
        let entered = self.under_way.with(
            key,
            || 0,
            |count| *count == 0,
            |count| {
                let is_free = *count < max;
                *count += u64::from(is_free);
                is_free
            },
        );
        entered.then(|| Slot { counters: self.clone(), key: key.into() })
    }

    /// The breaker of a backend; it is kept while its rule is the same.
    pub fn breaker(&self, id: &str, rule: &BreakerRule) -> Arc<Breaker> {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        match breakers.get(id) {
            Some(known) if known.rule == *rule => known.clone(),
            _ => {
                let new = Arc::new(Breaker::new(rule.clone()));
                breakers.insert(id.to_owned(), new.clone());
                new
            }
        }
    }
}

/// A slot of `limit-concurrency`, given back when it is dropped.
#[derive(Debug)]
pub struct Slot {
    counters: Arc<Counters>,
    key: Box<str>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.counters.under_way.get(&self.key, |count| *count = count.saturating_sub(1));
    }
}
