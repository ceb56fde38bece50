//! HTTP/2 streams of all client connections: while many are active, each client address is limited to a share.

use super::{
    budget::client_bound,
    client_counts::{ClientCount, ClientCountGuard, ClientCounts},
};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Limits of active streams.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// The number of streams of which half may be active without limits for addresses.
    pub capacity: usize,
    /// A fixed limit for one address instead of a share.
    pub per_client: Option<usize>,
}

impl StreamLimits {
    /// The bound of one address when another stream becomes active; every address may have one.
    fn max_of_client(self, active: usize) -> usize {
        self.per_client.unwrap_or_else(|| client_bound(active + 1, self.capacity).max(1))
    }
}

/// Active streams, in total and by client address.
#[derive(Debug, Default)]
pub struct ActiveStreams {
    total: AtomicUsize,
    by_client: ClientCounts,
}

impl ActiveStreams {
    /// The counter for a connection of a client; one lookup for each connection, none for a stream.
    pub fn client(self: &Arc<Self>, client: IpAddr) -> ClientStreams {
        ClientStreams { all: self.clone(), count: self.by_client.of(client) }
    }
}

/// The active streams of one client address.
#[derive(Clone, Debug)]
pub struct ClientStreams {
    all: Arc<ActiveStreams>,
    count: ClientCount,
}

impl ClientStreams {
    /// Counts a stream as active; `None` if the address has too many.
    pub fn try_acquire(&self, limits: StreamLimits) -> Option<StreamCountGuard> {
        let of_client = self.count.try_acquire(limits.max_of_client(self.all.total.load(Relaxed)))?;
        self.all.total.fetch_add(1, Relaxed);
        Some(StreamCountGuard { all: self.all.clone(), _of_client: of_client })
    }
}

/// One active stream.
#[derive(Debug)]
pub struct StreamCountGuard {
    all: Arc<ActiveStreams>,
    _of_client: ClientCountGuard,
}

impl Drop for StreamCountGuard {
    fn drop(&mut self) {
        self.all.total.fetch_sub(1, Relaxed);
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
