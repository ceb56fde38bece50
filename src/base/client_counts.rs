//! Counts of something that is open, by client address: connections, HTTP/2 streams, WebSocket connections.

use super::{client_prefix::ClientPrefix, weak_map::WeakMap};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The counts of all client addresses, of IPv6 by /64. An address is known while something of it is open.
#[derive(Debug, Default)]
pub struct ClientCounts(WeakMap<ClientPrefix, AtomicUsize>);

impl ClientCounts {
    /// The count of a client address.
    pub fn of(&self, client: IpAddr) -> ClientCount {
        ClientCount(self.0.get_or_insert_with(client.into(), AtomicUsize::default))
    }
}

/// The count of one client address.
#[derive(Clone, Debug)]
pub struct ClientCount(Arc<AtomicUsize>);

impl ClientCount {
    /// Counts one more until the guard is dropped; `None` if the count is `max` already.
    pub fn try_acquire(&self, max: usize) -> Option<ClientCountGuard> {
        let grown = |count: usize| (count < max).then_some(count + 1);
        self.0.fetch_update(Relaxed, Relaxed, grown).ok()?;
        Some(ClientCountGuard(self.0.clone()))
    }
}

/// Counted for its client until it is dropped.
#[derive(Debug)]
pub struct ClientCountGuard(Arc<AtomicUsize>);

impl Drop for ClientCountGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_separately_and_until_the_guard_is_dropped() {
        let counts = ClientCounts::default();
        let [first, second]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        let held = counts.of(first).try_acquire(1);
        assert!(held.is_some() && counts.of(first).try_acquire(1).is_none());
        assert!(counts.of(second).try_acquire(1).is_some());
        drop(held);
        assert!(counts.of(first).try_acquire(1).is_some());
    }
}
