//! What an agent uses of its limits: open streams, new streams, bytes of the day.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The use of one agent.
#[derive(Debug, Default)]
pub struct AgentUsage {
    pub streams: AtomicUsize,
    /// New streams that may begin at once, and since when that is so.
    bucket: Mutex<Option<(f64, Instant)>>,
    day: AtomicU64,
    bytes_of_day: AtomicU64,
}

impl AgentUsage {
    /// Takes one of the streams that may begin in this second; the burst is the rate.
    pub fn try_begin(&self, per_second: u32, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let burst = f64::from(per_second);
        let available = match *bucket {
            Some((left, since)) => {
                (left + now.saturating_duration_since(since).as_secs_f64() * burst).min(burst)
            }
            None => burst,
        };
        let may_begin = available >= 1.0;
        *bucket = Some((if may_begin { available - 1.0 } else { available }, now));
        may_begin
    }

    /// Adds bytes to those of the current day (UTC); returns their sum.
    pub fn add_bytes(&self, bytes: u64, now: SystemTime) -> u64 {
        let day = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY.as_secs();
        if self.day.swap(day, Relaxed) != day {
            self.bytes_of_day.store(0, Relaxed);
        }
        self.bytes_of_day.fetch_add(bytes, Relaxed) + bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_begin_at_the_rate_after_a_burst_of_one_second() {
        let (usage, start) = (AgentUsage::default(), Instant::now());
        let begun = (0..9).filter(|_| usage.try_begin(5, start)).count();
        assert_eq!(begun, 5);
        assert!(!usage.try_begin(5, start + Duration::from_millis(100)));
        assert!(usage.try_begin(5, start + Duration::from_millis(300)));
        let later = start + Duration::from_secs(60);
        assert_eq!((0..9).filter(|_| usage.try_begin(5, later)).count(), 5, "the burst is bounded");
    }

    #[test]
    fn the_bytes_of_a_day_begin_at_zero() {
        let usage = AgentUsage::default();
        assert_eq!(usage.add_bytes(5, UNIX_EPOCH + DAY), 5);
        assert_eq!(usage.add_bytes(5, UNIX_EPOCH + DAY + Duration::from_secs(1)), 10);
        assert_eq!(usage.add_bytes(5, UNIX_EPOCH + DAY * 2), 5);
    }
}
