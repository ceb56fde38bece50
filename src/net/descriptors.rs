//! The descriptors of the process: connections of clients and to backends share them, and a reserve is left for accepting,
//! DNS and files. The shares are limits under contention: either side may use what the other does not.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, futures::Notified};

/// Limits of at most this many connections fit into the reserve: the administration address is always reachable.
const MAX_RESERVED_CONNECTIONS: usize = 64;

/// How long a new connection waits for the descriptor of an idle one, and how often it tries. Longer than the interval of
/// evictions.
pub const MAX_DESCRIPTOR_WAIT: Duration = Duration::from_millis(300);
/// The interval of these tries.
pub const DESCRIPTOR_RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// The descriptors of one process.
#[derive(Debug)]
pub struct Descriptors {
    capacity: AtomicUsize,
    clients: AtomicUsize,
    backends: AtomicUsize,
    /// Connections that are rejected.
    rejected: AtomicUsize,
    /// Notified when little more than the reserve is left.
    contended: Notify,
}

/// The descriptors of this process; unlimited until the capacity is set.
pub static PROCESS: Descriptors = Descriptors::new(usize::MAX);

impl Descriptors {
    const fn new(capacity: usize) -> Descriptors {
        Descriptors {
            capacity: AtomicUsize::new(capacity),
            clients: AtomicUsize::new(0),
            backends: AtomicUsize::new(0),
            rejected: AtomicUsize::new(0),
            contended: Notify::const_new(),
        }
    }

    /// Sets the number of descriptors, of which the process itself needs `own`; returns how many of them clients may use.
    pub fn set_capacity(&self, capacity: usize, own: usize) -> usize {
        self.capacity.store(capacity.saturating_sub(own), Relaxed);
        capacity / 10 * 9
    }

    /// A descriptor for a connection of a client, whose listeners accept at most `max_connections`.
    pub fn try_client(&'static self, max_connections: usize) -> Option<DescriptorGuard> {
        let is_reserved = max_connections <= MAX_RESERVED_CONNECTIONS;
        let is_free = is_reserved || self.used() < self.capacity() - self.reserve();
        self.notify_if_contended();
        is_free.then(|| DescriptorGuard::new(&self.clients))
    }

    /// A descriptor for a connection that is rejected.
    pub fn try_rejected(&'static self) -> Option<DescriptorGuard> {
        (self.used() < self.capacity() - self.reserve() / 4 * 3).then(|| DescriptorGuard::new(&self.rejected))
    }

    /// A descriptor for a connection to a backend.
    pub fn try_backend(&'static self) -> Option<DescriptorGuard> {
        self.notify_if_contended();
        (self.used() < self.capacity() - self.reserve() / 2).then(|| DescriptorGuard::new(&self.backends))
    }

    /// The same; waits a moment until an idle connection is closed.
    pub async fn backend(&'static self) -> Option<DescriptorGuard> {
        let deadline = Instant::now() + MAX_DESCRIPTOR_WAIT;
        loop {
            match self.try_backend() {
                None if Instant::now() < deadline => tokio::time::sleep(DESCRIPTOR_RETRY_INTERVAL).await,
                descriptor => return descriptor,
            }
        }
    }

    /// Ready when little more than the reserve is left.
    pub fn contended(&self) -> Notified<'_> {
        self.contended.notified()
    }

    /// How many idle connections should be closed: before only the reserve is left, and so many that the next ones need
    /// none.
    pub fn excess(&self) -> usize {
        let used = self.used() - self.rejected.load(Relaxed).min(self.used());
        let threshold = self.capacity() - self.reserve() - self.reserve() / 2;
        match (used + 1).saturating_sub(threshold) {
            0 => 0,
            excess => excess + self.reserve() / 2,
        }
    }

    fn notify_if_contended(&self) {
        if self.excess() > 0 {
            self.contended.notify_waiters();
        }
    }

    fn capacity(&self) -> usize {
        self.capacity.load(Relaxed)
    }

    fn used(&self) -> usize {
        self.clients.load(Relaxed) + self.backends.load(Relaxed) + self.rejected.load(Relaxed)
    }

    fn reserve(&self) -> usize {
        (self.capacity() / 20).max(32).min(self.capacity() / 2)
    }
}

/// A descriptor in use.
#[derive(Debug)]
pub struct DescriptorGuard(&'static AtomicUsize);

impl DescriptorGuard {
    fn new(count: &'static AtomicUsize) -> DescriptorGuard {
        count.fetch_add(1, Relaxed);
        DescriptorGuard(count)
    }
}

impl Drop for DescriptorGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_may_use_what_backends_do_not_but_never_the_reserve() {
        static DESCRIPTORS: Descriptors = Descriptors::new(1000);
        assert_eq!(DESCRIPTORS.set_capacity(20_000, 40), 18_000);
        DESCRIPTORS.set_capacity(1040, 40);
        let mut backends: Vec<_> = (0..100).map_while(|_| DESCRIPTORS.try_backend()).collect();
        let clients: Vec<_> = (0..2000).map_while(|_| DESCRIPTORS.try_client(5000)).collect();
        assert_eq!((backends.len(), clients.len()), (100, 850), "50 are the reserve");
        backends.extend((0..100).map_while(|_| DESCRIPTORS.try_backend()));
        assert_eq!(backends.len(), 125, "half of the reserve is for backends");
        assert!(DESCRIPTORS.try_rejected().is_none(), "rejections leave the rest for accepting and DNS");
        assert_eq!(DESCRIPTORS.excess(), 51 + 25, "so many clients should be closed");
        assert!(DESCRIPTORS.try_client(64).is_some(), "administration");
        drop((backends, clients));
        assert_eq!((DESCRIPTORS.used(), DESCRIPTORS.excess()), (0, 0));
    }

    #[tokio::test]
    async fn idle_connections_are_to_be_closed_before_only_the_reserve_is_left() {
        static DESCRIPTORS: Descriptors = Descriptors::new(1000);
        let mut contended = std::pin::pin!(DESCRIPTORS.contended());
        let clients: Vec<_> = (0..924).map_while(|_| DESCRIPTORS.try_client(5000)).collect();
        assert!(!contended.as_mut().enable() && DESCRIPTORS.excess() == 0);
        let client = DESCRIPTORS.try_client(5000);
        assert!(client.is_some() && DESCRIPTORS.excess() > 0, "25 are left above the reserve");
        let client = DESCRIPTORS.try_client(5000);
        assert!(client.is_some() && contended.as_mut().enable());
        drop(clients);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_to_a_backend_waits_for_an_idle_one_to_be_closed() {
        static DESCRIPTORS: Descriptors = Descriptors::new(100);
        let clients: Vec<_> = (0..100).map_while(|_| DESCRIPTORS.try_client(5000)).collect();
        let backends: Vec<_> = (0..100).map_while(|_| DESCRIPTORS.try_backend()).collect();
        let closing = async {
            tokio::time::sleep(DESCRIPTOR_RETRY_INTERVAL * 2).await;
            drop(clients);
        };
        let (descriptor, ()) = tokio::join!(DESCRIPTORS.backend(), closing);
        assert!(descriptor.is_some());
        drop(backends);
    }
}
