//! Events without a response: queued by handler, sent in order per connection, by a limited number of tasks.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many events wait for one handler; beyond it, the oldest are dropped.
const MAX_QUEUED_EVENTS: usize = 1000;
/// How many events are sent to one handler at a time.
const MAX_CONCURRENT_EVENTS: usize = 64;

/// Identifies a handler across plans.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HandlerKey {
    pub service: Arc<str>,
    /// The label of the hub: the hubs of the entry `*` share a queue.
    pub hub: Box<str>,
    pub url_template: Box<str>,
}

/// The queues of all handlers, for events `T`. A queue exists while it has events or tasks.
#[derive(Debug)]
pub struct EventQueues<T>(Mutex<HashMap<HandlerKey, HandlerQueue<T>>>);

/// The events of one handler.
#[derive(Debug)]
struct HandlerQueue<T> {
    connections: HashMap<Arc<str>, ConnectionQueue<T>>,
    /// The connections whose next event may be sent.
    ready: VecDeque<Arc<str>>,
    /// The connections of waiting events by the number of the event.
    by_age: BTreeMap<u64, Arc<str>>,
    next_number: u64,
    /// Tasks that send events.
    tasks: usize,
}

/// The events of one connection.
#[derive(Debug)]
struct ConnectionQueue<T> {
    events: VecDeque<(u64, T)>,
    /// An event of the connection is being sent, and the next one waits.
    is_sending: bool,
}

/// What the caller of [`EventQueues::push`] does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushResult<T> {
    /// It starts a task that sends events of the handler.
    pub starts_task: bool,
    /// It counts the oldest event, for which there was no room.
    pub dropped: Option<T>,
}

impl<T> Default for EventQueues<T> {
    fn default() -> EventQueues<T> {
        EventQueues(Mutex::default())
    }
}

impl<T> Default for HandlerQueue<T> {
    fn default() -> HandlerQueue<T> {
        HandlerQueue {
            connections: HashMap::new(),
            ready: VecDeque::new(),
            by_age: BTreeMap::new(),
            next_number: 0,
            tasks: 0,
        }
    }
}

impl<T> EventQueues<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<HandlerKey, HandlerQueue<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event of a connection.
    pub fn push(&self, key: &HandlerKey, connection_id: &Arc<str>, event: T) -> PushResult<T> {
        let mut queues = self.lock();
        let queue = queues.entry(key.clone()).or_default();
        queue.push(connection_id, event);
        let is_full = queue.by_age.len() > MAX_QUEUED_EVENTS;
        let dropped = is_full.then(|| queue.take_oldest()).flatten();
        let starts_task = !queue.ready.is_empty() && queue.tasks < MAX_CONCURRENT_EVENTS;
        queue.tasks += usize::from(starts_task);
        PushResult { starts_task, dropped }
    }

    /// The next event that a task sends; without one the task ends.
    pub fn next(&self, key: &HandlerKey) -> Option<(Arc<str>, T)> {
        let mut queues = self.lock();
        let queue = queues.get_mut(key)?;
        let next = queue.next();
        if next.is_none() {
            queue.tasks -= 1;
            if queue.connections.is_empty() {
                queues.remove(key);
            }
        }
        next
    }

    /// The event of the connection was sent: its next one may follow.
    pub fn finish(&self, key: &HandlerKey, connection_id: &Arc<str>) {
        if let Some(queue) = self.lock().get_mut(key) {
            queue.finish(connection_id);
        }
    }
}

impl<T> HandlerQueue<T> {
    fn push(&mut self, connection_id: &Arc<str>, event: T) {
        let number = self.next_number;
        self.next_number += 1;
        self.by_age.insert(number, connection_id.clone());
        let empty = || ConnectionQueue { events: VecDeque::new(), is_sending: false };
        let connection = self.connections.entry(connection_id.clone()).or_insert_with(empty);
        connection.events.push_back((number, event));
        if connection.events.len() == 1 && !connection.is_sending {
            self.ready.push_back(connection_id.clone());
        }
    }

    fn take_oldest(&mut self) -> Option<T> {
        let (_, connection_id) = self.by_age.pop_first()?;
        let connection = self.connections.get_mut(&connection_id)?;
        let oldest = connection.events.pop_front();
        if connection.events.is_empty() && !connection.is_sending {
            self.connections.remove(&connection_id);
            if let Some(at) = self.ready.iter().position(|ready| *ready == connection_id) {
                self.ready.remove(at);
            }
        }
        oldest.map(|(_, event)| event)
    }

    fn next(&mut self) -> Option<(Arc<str>, T)> {
        let connection_id = self.ready.pop_front()?;
        let connection = self.connections.get_mut(&connection_id)?;
        let (number, event) = connection.events.pop_front()?;
        connection.is_sending = true;
        self.by_age.remove(&number);
        Some((connection_id, event))
    }

    fn finish(&mut self, connection_id: &Arc<str>) {
        let Some(connection) = self.connections.get_mut(connection_id) else { return };
        connection.is_sending = false;
        match connection.events.is_empty() {
            true => drop(self.connections.remove(connection_id)),
            false => self.ready.push_back(connection_id.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> HandlerKey {
        HandlerKey { service: "rt".into(), hub: "chat".into(), url_template: "http://a/{event}".into() }
    }

    #[test]
    fn events_of_a_connection_are_sent_one_after_the_other() {
        let (queues, key) = (EventQueues::default(), key());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let push = |connection, event| queues.push(&key, connection, event).starts_task;
        assert_eq!((push(&a, 1), push(&a, 2), push(&b, 3)), (true, true, true));
        assert_eq!(queues.next(&key), Some((a.clone(), 1)));
        assert_eq!(queues.next(&key), Some((b.clone(), 3)));
        assert_eq!(queues.next(&key), None, "the next event of the connection waits");
        queues.finish(&key, &a);
        assert_eq!(queues.next(&key), Some((a.clone(), 2)));
        queues.finish(&key, &a);
        queues.finish(&key, &b);
        assert_eq!(queues.next(&key), None);
        assert_eq!(queues.next(&key), None);
        assert!(queues.lock().is_empty(), "an empty queue is removed");
    }

    #[test]
    fn an_event_that_arrives_while_another_is_sent_needs_no_task_until_that_one_ends() {
        let (queues, key, a) = (EventQueues::default(), key(), Arc::from("a"));
        assert!(queues.push(&key, &a, 1).starts_task);
        queues.next(&key);
        assert!(!queues.push(&key, &a, 2).starts_task);
        queues.finish(&key, &a);
        assert_eq!(queues.next(&key), Some((a, 2)));
    }

    #[test]
    fn tasks_and_waiting_events_are_limited_and_the_oldest_are_dropped() {
        let (queues, key) = (EventQueues::default(), key());
        let (mut started, mut dropped) = (0, 0);
        for n in 0..MAX_QUEUED_EVENTS + 10 {
            let pushed = queues.push(&key, &format!("c{n}").into(), n);
            started += usize::from(pushed.starts_task);
            dropped += usize::from(pushed.dropped.is_some());
        }
        assert_eq!((started, dropped), (MAX_CONCURRENT_EVENTS, 10));
        assert_eq!(queues.next(&key), Some(("c10".into(), 10)));
        let lock = queues.lock();
        let queue = &lock[&key];
        let waiting = MAX_QUEUED_EVENTS - 1;
        assert_eq!((queue.ready.len(), queue.by_age.len()), (waiting, waiting));
        assert_eq!(queue.connections.len(), waiting + 1);
    }

    #[test]
    fn the_oldest_event_of_a_connection_that_is_sending_is_dropped_too() {
        let (queues, key, a) = (EventQueues::default(), key(), Arc::from("a"));
        queues.push(&key, &a, 0);
        queues.next(&key);
        for n in 1..=MAX_QUEUED_EVENTS + 1 {
            queues.push(&key, &a, n);
        }
        queues.finish(&key, &a);
        assert_eq!(queues.next(&key), Some((a, 2)));
    }
}
