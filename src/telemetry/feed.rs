//! Live subscribers of access records (`GET /v1/tail`): each has a bounded queue, and a subscriber that does not read
//! loses records, which are counted; requests never wait.
//!
//! Use: `metrics.feed().subscribe(filter)` returns a [`Subscription`]; its [`next`](Subscription::next) resolves to the
//! queued records as JSON lines, with the redaction of the access log, and the number of lost ones. Dropping the
//! subscription ends it. Without subscribers a request costs one relaxed load ([`RecordFeed::is_active`]).

use super::{record::Record, registry::lock};
use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Maximum number of subscribers.
pub const MAX_SUBSCRIBERS: usize = 16;
/// The queue capacity of one subscriber.
pub const SUBSCRIBER_QUEUE_BYTES: usize = 256 * 1024;
/// How often a waiting subscriber looks at its queue. No worker wakes it: a wake-up would be a system call per request.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Selects records.
pub type RecordFilter = Box<dyn Fn(&Record) -> bool + Send + Sync>;

/// The subscribers of access records.
#[derive(Debug, Default)]
pub struct RecordFeed {
    active: AtomicUsize,
    subscribers: Mutex<Vec<Arc<Subscriber>>>,
    dropped: AtomicU64,
}

struct Subscriber {
    filter: RecordFilter,
    queue: Mutex<RecordBatch>,
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Subscriber").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// Records that a subscriber received.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RecordBatch {
    /// JSON lines.
    pub lines: Vec<u8>,
    /// Records lost since the last batch, because the queue was full.
    pub dropped: u64,
}

impl RecordBatch {
    /// Adds a record; false if it is lost. After a lost one no further record is formatted until the batch is taken.
    fn push(&mut self, record: &Record) -> bool {
        let before = self.lines.len();
        if self.dropped == 0 {
            record.write_json(&mut self.lines);
        }
        let is_lost = self.dropped > 0 || self.lines.len() > SUBSCRIBER_QUEUE_BYTES;
        if is_lost {
            self.lines.truncate(before);
            self.dropped += 1;
        }
        !is_lost
    }
}

/// All places are taken: at most [`MAX_SUBSCRIBERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySubscribers;

impl RecordFeed {
    /// Whether there is a subscriber.
    pub fn is_active(&self) -> bool {
        self.active.load(Relaxed) > 0
    }

    /// Subscribes to the records that the filter accepts, from now on.
    ///
    /// # Errors
    ///
    /// If there are [`MAX_SUBSCRIBERS`] already.
    pub fn subscribe(self: &Arc<Self>, filter: RecordFilter) -> Result<Subscription, TooManySubscribers> {
        let mut subscribers = lock(&self.subscribers);
        if subscribers.len() >= MAX_SUBSCRIBERS {
            return Err(TooManySubscribers);
        }
        let subscriber = Arc::new(Subscriber { filter, queue: Mutex::default() });
        subscribers.push(subscriber.clone());
        self.active.store(subscribers.len(), Relaxed);
        Ok(Subscription { feed: self.clone(), subscriber })
    }

    /// Queues the record for every subscriber that wants it.
    pub fn publish(&self, record: &Record) {
        for subscriber in lock(&self.subscribers).iter().filter(|of| (of.filter)(record)) {
            if !lock(&subscriber.queue).push(record) {
                self.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// Records lost by all subscribers.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// A subscription, until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    feed: Arc<RecordFeed>,
    subscriber: Arc<Subscriber>,
}

impl Subscription {
    /// What is queued now.
    pub fn take(&self) -> RecordBatch {
        std::mem::take(&mut *lock(&self.subscriber.queue))
    }

    /// Waits for at least one record, or for a lost one.
    pub async fn next(&self) -> RecordBatch {
        loop {
            let batch = self.take();
            if batch != RecordBatch::default() {
                return batch;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut subscribers = lock(&self.feed.subscribers);
        subscribers.retain(|other| !Arc::ptr_eq(other, &self.subscriber));
        self.feed.active.store(subscribers.len(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::record::tests::record, *};

    fn lines(batch: &RecordBatch) -> usize {
        batch.lines.iter().filter(|byte| **byte == b'\n').count()
    }

    #[tokio::test]
    async fn a_subscriber_receives_the_records_of_its_filter_until_it_is_dropped() {
        let feed = Arc::new(RecordFeed::default());
        assert!(!feed.is_active());
        let failures = feed.subscribe(Box::new(|record| record.status >= 500)).unwrap();
        assert!(feed.is_active());
        feed.publish(&record());
        feed.publish(&Record { status: 503, ..record() });
        let batch = failures.next().await;
        assert_eq!((lines(&batch), batch.dropped), (1, 0));
        drop(failures);
        assert!(!feed.is_active());
    }

    #[test]
    fn a_subscriber_that_does_not_read_loses_records_and_holds_bounded_memory() {
        let feed = Arc::new(RecordFeed::default());
        let slow = feed.subscribe(Box::new(|_| true)).unwrap();
        (0..2_000).for_each(|_| feed.publish(&record()));
        let batch = slow.take();
        assert!(batch.lines.len() <= SUBSCRIBER_QUEUE_BYTES && batch.dropped > 0);
        assert_eq!(lines(&batch) as u64 + batch.dropped, 2_000);
        assert_eq!(feed.dropped_total(), batch.dropped);
    }

    #[test]
    fn the_number_of_subscribers_is_limited() {
        let feed = Arc::new(RecordFeed::default());
        let all: Vec<_> = (0..MAX_SUBSCRIBERS).map(|_| feed.subscribe(Box::new(|_| true)).unwrap()).collect();
        assert_eq!(feed.subscribe(Box::new(|_| true)).err(), Some(TooManySubscribers));
        drop(all);
        assert!(feed.subscribe(Box::new(|_| true)).is_ok());
    }
}
