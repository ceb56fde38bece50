//! Who uses a connection to a backend, and who of this worker waits until he may.

use crate::wire::{gate::Gate, pool};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};
use tokio::sync::Notify;

/// The requests that use one connection.
#[derive(Debug, Default)]
pub struct Uses {
    number: AtomicU32,
    /// Where connections are counted: the limit, and those who wait.
    limit: Option<(Arc<Gate>, Arc<Line>)>,
}

/// Those of this worker who wait for a place on a connection to one endpoint.
#[derive(Debug, Default)]
pub struct Line {
    waiting: AtomicU32,
    pub freed: Notify,
}

impl Uses {
    pub fn new(limit: Option<(Arc<Gate>, Arc<Line>)>) -> Arc<Uses> {
        Arc::new(Uses { limit, ..Uses::default() })
    }

    /// How many there are.
    pub fn number(&self) -> u32 {
        self.number.load(Relaxed)
    }

    /// Whether others wait for a connection who cannot use this one: they are of another worker, or speak HTTP/1.1.
    pub fn is_wanted_elsewhere(&self) -> bool {
        self.limit.as_ref().is_some_and(|(gate, line)| gate.waiting() > line.waiting())
    }
}

impl Line {
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed) as usize
    }

    /// Stands in line until it is dropped.
    pub fn stand(self: &Arc<Line>) -> Standing {
        self.waiting.fetch_add(1, Relaxed);
        Standing(self.clone())
    }
}

/// Somebody who waits.
#[derive(Debug)]
pub struct Standing(Arc<Line>);

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// A place among those that use a connection.
#[derive(Debug)]
pub struct Place(Arc<Uses>);

impl Place {
    pub fn take(uses: &Arc<Uses>) -> Place {
        uses.number.fetch_add(1, Relaxed);
        Place(uses.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let before = self.0.number.fetch_sub(1, Relaxed);
        let Some((_, line)) = &self.0.limit else { return };
        line.freed.notify_one();
        if before == 1 && self.0.is_wanted_elsewhere() {
            // Nobody needs it here: its permit may go round.
            pool::call_for_idle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::gate::Limit;

    #[test]
    fn a_connection_is_wanted_elsewhere_when_more_wait_than_stand_in_line_here() {
        let gate = Gate::new(Limit { connections: 1, queue: 9, wait: None });
        let line = Arc::new(Line::default());
        let uses = Uses::new(Some((gate.clone(), line.clone())));
        let (place, other) = (Place::take(&uses), Place::take(&uses));
        assert_eq!((uses.number(), uses.is_wanted_elsewhere()), (2, false));
        let here = (gate.join(), line.stand());
        assert!(!uses.is_wanted_elsewhere(), "who waits here will use it");
        let there = gate.join();
        assert!(uses.is_wanted_elsewhere());
        drop((there, here));
        assert!(!uses.is_wanted_elsewhere());
        drop((place, other));
        assert_eq!((uses.number(), line.waiting()), (0, 0));
    }
}
