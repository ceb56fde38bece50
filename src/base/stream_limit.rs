//! HTTP/2 streams of all client connections: while many are active, each client address is limited to a share.

use super::client_prefix::ClientPrefix;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The share of one client address while more than half of the streams are active.
const CONTENDED_SHARE: usize = 8;

/// Limits of active streams.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// The number of streams of which half may be active without limits for addresses.
    pub capacity: usize,
    /// A fixed limit for one address instead of a share.
    pub per_client: Option<usize>,
}

impl StreamLimits {
    fn admits(self, total: usize, of_client: usize) -> bool {
        match self.per_client {
            Some(max) => of_client < max,
            None => total < self.capacity / 2 || of_client < (self.capacity / CONTENDED_SHARE).max(1),
        }
    }
}

/// Active streams, in total and by client address.
#[derive(Debug, Default)]
pub struct ActiveStreams {
    total: AtomicUsize,
    by_client: Mutex<HashMap<ClientPrefix, Weak<AtomicUsize>>>,
}

impl ActiveStreams {
    /// The counter for a connection of a client; one lookup for each connection, none for a stream.
    pub fn client(self: &Arc<Self>, client: IpAddr) -> ClientStreams {
        let mut by_client = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = by_client.entry(client.into()).or_default();
        let count = entry.upgrade().unwrap_or_else(|| {
            let count = Arc::default();
            *entry = Arc::downgrade(&count);
            count
        });
        if by_client.len() >= by_client.capacity() / 2 {
            by_client.retain(|_, count| count.strong_count() > 0);
        }
        ClientStreams { all: self.clone(), count }
    }
}

/// The active streams of one client address.
#[derive(Clone, Debug)]
pub struct ClientStreams {
    all: Arc<ActiveStreams>,
    count: Arc<AtomicUsize>,
}

impl ClientStreams {
    /// Counts a stream as active; `None` if the address has too many.
    pub fn try_acquire(&self, limits: StreamLimits) -> Option<StreamCountGuard> {
        limits.admits(self.all.total.load(Relaxed), self.count.load(Relaxed)).then(|| {
            self.all.total.fetch_add(1, Relaxed);
            self.count.fetch_add(1, Relaxed);
            StreamCountGuard(self.clone())
        })
    }
}

/// One active stream.
#[derive(Debug)]
pub struct StreamCountGuard(ClientStreams);

impl Drop for StreamCountGuard {
    fn drop(&mut self) {
        self.0.all.total.fetch_sub(1, Relaxed);
        self.0.count.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acquire(client: &ClientStreams, count: usize, limits: StreamLimits) -> Vec<StreamCountGuard> {
        (0..count).map_while(|_| client.try_acquire(limits)).collect()
    }

    #[test]
    fn one_address_may_have_half_of_the_streams_and_beyond_that_its_share() {
        let limits = StreamLimits { capacity: 80, per_client: None };
        let all = Arc::new(ActiveStreams::default());
        let [first, again, second] =
            ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|ip| all.client(ip.parse().unwrap()));
        let held = acquire(&first, 100, limits);
        assert_eq!(held.len(), 40);
        assert!(again.try_acquire(limits).is_none(), "another connection of the same address");
        let others = acquire(&second, 100, limits);
        assert_eq!(others.len(), 10);
        drop((held, others));
        assert_eq!(all.total.load(Relaxed), 0);
    }

    #[test]
    fn a_fixed_limit_replaces_the_share() {
        let limits = StreamLimits { capacity: 80, per_client: Some(3) };
        let client = Arc::new(ActiveStreams::default()).client("192.0.2.1".parse().unwrap());
        assert_eq!(acquire(&client, 100, limits).len(), 3);
    }
}
