use super::*;
use std::{
    sync::{Arc, atomic::AtomicUsize},
    task::Wake,
};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A queue and its clock.
struct Simulation {
    queue: ConnectionQueue,
    now: Instant,
    wakes: Arc<Count>,
}

impl Simulation {
    fn new(max_connections: usize, max_pending: usize) -> Simulation {
        let limit = ConnectionLimit { max_connections, max_pending, pending_timeout: None };
        let mut queue = ConnectionQueue::new(limit);
        (0..max_connections).for_each(|_| assert!(queue.try_take()));
        Simulation { queue, now: Instant::now(), wakes: Arc::default() }
    }

    /// A request of worker 0.
    fn join(&mut self) -> Option<u64> {
        self.join_from(0)
    }

    fn join_from(&mut self, worker: usize) -> Option<u64> {
        let (ticket, evicted) = self.queue.join(worker, true, self.now)?;
        evicted.into_iter().for_each(Waker::wake);
        assert_eq!(self.queue.poll(ticket, &Waker::from(self.wakes.clone())), None);
        Some(ticket)
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn outcome(&mut self, ticket: u64) -> Option<Outcome> {
        self.queue.poll(ticket, Waker::noop())
    }

    fn release(&mut self) {
        if let Some(waker) = self.queue.release() {
            waker.wake();
        }
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_released_place_wakes_exactly_one_of_many_requests() {
    let mut simulation = Simulation::new(1, 100);
    let tickets: Vec<u64> = (0..50).map(|_| simulation.join().unwrap()).collect();
    simulation.release();
    assert_eq!((simulation.wakes(), simulation.queue.len()), (1, 49));
    assert_eq!(simulation.outcome(tickets[0]), Some(Outcome::Permit), "in arrival order");
    let (ticket, waker) = simulation.queue.hand_over(0).unwrap();
    waker.unwrap().wake();
    assert_eq!((ticket, simulation.wakes(), simulation.queue.len()), (tickets[1], 2, 48));
    assert!(!simulation.queue.try_take(), "both places are taken");
}

#[test]
fn a_place_of_a_request_that_left_goes_to_the_next() {
    let mut simulation = Simulation::new(1, 9);
    let [first, second, third] = [(); 3].map(|()| simulation.join().unwrap());
    assert_eq!(simulation.queue.leave(first, false), None, "it no longer waits");
    simulation.release();
    assert_eq!(simulation.queue.leave(second, false), Some(Outcome::Permit), "its client has closed");
    simulation.release();
    assert_eq!(simulation.outcome(third), Some(Outcome::Permit));
    simulation.release();
    assert!(simulation.queue.try_take());
}

#[test]
fn a_full_queue_rejects_the_new_request() {
    let mut simulation = Simulation::new(1, 2);
    assert!(simulation.join().is_some() && simulation.join().is_some());
    assert_eq!(simulation.join(), None);
}

#[test]
fn every_fourth_connection_is_due_to_another_worker() {
    let mut simulation = Simulation::new(1, 99);
    (0..20).for_each(|_| assert!(simulation.join().is_some()));
    let other = simulation.join_from(1).unwrap();
    let handed: Vec<bool> = (0..8).map(|_| simulation.queue.hand_over(0).is_some()).collect();
    assert_eq!(handed, [true, true, true, false, true, true, true, false]);
    simulation.queue.leave(other, false);
    assert!((0..8).all(|_| simulation.queue.hand_over(0).is_some()), "only worker 0 waits");
}

#[test]
fn a_burst_is_served_in_arrival_order_however_long_it_takes() {
    let mut simulation = Simulation::new(10, 999);
    let tickets: Vec<u64> = (0..200).map(|_| simulation.join().unwrap()).collect();
    for part in tickets.chunks(10) {
        simulation.wait(1000);
        (0..10).for_each(|_| simulation.release());
        assert!(part.iter().all(|ticket| simulation.outcome(*ticket) == Some(Outcome::Permit)));
    }
}

#[test]
fn clients_that_wait_briefly_keep_their_order() {
    let mut simulation = Simulation::new(20, 999);
    // 25 clients for 20 connections: each waits 40 ms, and the queue is never empty.
    let mut tickets: std::collections::VecDeque<u64> = (0..5).map(|_| simulation.join().unwrap()).collect();
    for _ in 0..500 {
        simulation.wait(10);
        simulation.release();
        let oldest = tickets.pop_front().unwrap();
        assert_eq!(simulation.outcome(oldest), Some(Outcome::Permit));
        tickets.push_back(simulation.join().unwrap());
    }
}

/// Five times the capacity: a connection is released every 10 ms, and a request arrives every 2 ms. Returns the waits of
/// the requests that were served after `from` and of those that were evicted.
fn overload(simulation: &mut Simulation, from: u64) -> (Vec<Duration>, Vec<Duration>) {
    let (mut served, mut evicted) = (Vec::new(), Vec::new());
    let mut waiting: Vec<(u64, Instant)> = Vec::new();
    for ms in (0..4000).step_by(2) {
        simulation.wait(2);
        waiting.extend(simulation.join().map(|ticket| (ticket, simulation.now)));
        if ms % 10 == 0 {
            simulation.release();
        }
        waiting.retain(|(ticket, since)| {
            let outcome = simulation.queue.poll(*ticket, Waker::noop());
            let waited = simulation.now - *since;
            match outcome {
                Some(Outcome::Evicted) => evicted.push(waited),
                Some(_) if ms >= from => served.push(waited),
                Some(_) => {}
                None => return true,
            }
            false
        });
    }
    (served, evicted)
}

#[test]
fn an_overloaded_backend_serves_the_newest_requests_and_rejects_the_others_early() {
    let mut simulation = Simulation::new(20, 999);
    let (served, evicted) = overload(&mut simulation, 1000);
    assert!(served.len() >= 299, "{} of 300 places were used", served.len());
    assert!(served.iter().all(|wait| *wait <= Duration::from_millis(10)), "{:?}", served.iter().max());
    assert!(evicted.len() > 1500, "{}", evicted.len());
    assert!(evicted.iter().all(|wait| *wait <= DEFAULT_MAX_WAIT), "{:?}", evicted.iter().max());
    assert!(simulation.queue.len() <= 52, "{} wait", simulation.queue.len());
}

#[test]
fn a_full_queue_of_an_overloaded_backend_evicts_its_oldest_request() {
    let mut simulation = Simulation::new(20, 60);
    let (served, _) = overload(&mut simulation, 1000);
    assert!(served.len() >= 299 && simulation.queue.len() <= 52, "{}", served.len());
    assert!(served.iter().all(|wait| *wait <= Duration::from_millis(10)), "{:?}", served.iter().max());
}

#[test]
fn arrival_order_returns_when_the_overload_has_ended() {
    let mut simulation = Simulation::new(20, 999);
    overload(&mut simulation, 0);
    assert!(simulation.queue.is_overloaded);
    while simulation.queue.len() > 5 {
        simulation.wait(10);
        simulation.release();
    }
    let (oldest, newest) =
        (*simulation.queue.waiting.first_key_value().unwrap().0, simulation.join().unwrap());
    simulation.release();
    assert_eq!(simulation.outcome(oldest), Some(Outcome::Permit));
    assert_eq!(simulation.outcome(newest), None);
}

#[test]
fn a_backend_that_stops_responding_holds_one_request_for_each_connection() {
    let mut simulation = Simulation::new(20, 999);
    for _ in 0..2000 {
        simulation.wait(2);
        simulation.join();
    }
    assert_eq!(simulation.queue.len(), 20);
}
