//! The requests that wait for a slot, in the order of their arrival. A client that fills the queue makes room for others.

use crate::base::client_prefix::ClientPrefix;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// The queue of one limit.
#[derive(Debug, Default)]
pub struct Queue(Mutex<Positions>);

#[derive(Debug, Default)]
struct Positions {
    /// The oldest first.
    waiting: Vec<Position>,
    by_client: HashMap<ClientPrefix, usize>,
}

#[derive(Debug)]
struct Position {
    client: ClientPrefix,
    evicted: Arc<Notify>,
}

/// A position in the queue, released on drop.
#[derive(Debug)]
pub struct QueueGuard {
    queue: Arc<Queue>,
    evicted: Arc<Notify>,
}

impl Queue {
    /// Enters the queue. If it is full, the client with the most positions loses its newest one to a client with fewer.
    pub fn enter(self: &Arc<Self>, client: ClientPrefix, max: usize) -> Option<QueueGuard> {
        let mut positions = self.lock();
        if positions.waiting.len() >= max && !positions.evict_for(client) {
            return None;
        }
        let evicted = Arc::new(Notify::new());
        *positions.by_client.entry(client).or_default() += 1;
        positions.waiting.push(Position { client, evicted: evicted.clone() });
        Some(QueueGuard { queue: self.clone(), evicted })
    }

    fn lock(&self) -> MutexGuard<'_, Positions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Positions {
    /// Evicts a position for a client that has at least two fewer: with one fewer, the two would only change places.
    fn evict_for(&mut self, client: ClientPrefix) -> bool {
        let own = self.by_client.get(&client).copied().unwrap_or(0);
        let Some((&largest, _)) =
            self.by_client.iter().max_by_key(|(_, count)| **count).filter(|(_, count)| **count > own + 1)
        else {
            return false;
        };
        let Some(at) = self.waiting.iter().rposition(|position| position.client == largest) else {
            return false;
        };
        self.remove(at).notify_one();
        true
    }

    fn remove(&mut self, at: usize) -> Arc<Notify> {
        let Position { client, evicted } = self.waiting.remove(at);
        if let Some(count) = self.by_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&client);
            }
        }
        evicted
    }
}

impl QueueGuard {
    /// Ready when the position was given to another client.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        let mut positions = self.queue.lock();
        let at = positions.waiting.iter().position(|position| Arc::ptr_eq(&position.evicted, &self.evicted));
        if let Some(at) = at {
            positions.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> ClientPrefix {
        ClientPrefix::from(std::net::IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn a_client_that_fills_the_queue_makes_room_for_others() {
        let queue = Arc::new(Queue::default());
        let mut first: Vec<_> = (0..3).map(|_| queue.enter(client(1), 3).expect("a free position")).collect();
        assert!(queue.enter(client(1), 3).is_none(), "it has all of them");
        let second = queue.enter(client(2), 3).expect("the newest position of the first client");
        first.pop().expect("the newest").evicted().await;
        assert!(queue.enter(client(2), 3).is_none(), "two and one are fair");
        let third = queue.enter(client(3), 3).expect("the next one");
        drop((second, third));
        assert_eq!(queue.lock().waiting.len(), 1);
        drop(first);
        assert!(queue.lock().by_client.is_empty());
    }
}
