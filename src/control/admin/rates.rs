//! The window of rates: snapshots of the counters, taken when a page is requested. Without requests for the page nothing
//! runs and nothing is held beyond the last snapshots.

use crate::telemetry::{Metrics, Totals};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The length of the window.
const WINDOW: Duration = Duration::from_secs(60);
/// The minimum time between two snapshots that are kept.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(15);

/// The counters of all routes at a moment.
#[derive(Debug)]
pub struct Snapshot {
    at: Instant,
    totals: HashMap<Box<str>, Totals>,
}

impl Snapshot {
    /// The counters now. Routes without requests are left out.
    pub fn take(metrics: &Metrics) -> Snapshot {
        let used = metrics.all_routes().into_iter().map(|route| (route.label().into(), route.totals()));
        Snapshot { at: Instant::now(), totals: used.filter(|(_, totals)| totals.is_used()).collect() }
    }
}

/// The snapshot against which rates are computed, and its age.
#[derive(Clone, Debug)]
pub struct RateBase {
    snapshot: Option<Arc<Snapshot>>,
    pub window: Duration,
}

impl RateBase {
    /// The counters of a route at the start of the window.
    pub fn totals(&self, label: &str) -> Totals {
        self.snapshot.as_ref().and_then(|snapshot| snapshot.totals.get(label)).copied().unwrap_or_default()
    }
}

/// The kept snapshots, oldest first; at most five.
#[derive(Debug)]
pub struct RateWindow {
    started_at: Instant,
    snapshots: Mutex<VecDeque<Arc<Snapshot>>>,
}

impl Default for RateWindow {
    fn default() -> Self {
        RateWindow { started_at: Instant::now(), snapshots: Mutex::default() }
    }
}

impl RateWindow {
    /// Adds a snapshot; returns the start of the window that ends with it.
    pub fn observe(&self, current: Snapshot) -> RateBase {
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        // One older than the window stays until there is another in it.
        while snapshots.get(1).is_some_and(|second| current.at - second.at >= SNAPSHOT_INTERVAL)
            && snapshots.front().is_some_and(|first| current.at - first.at > WINDOW)
        {
            snapshots.pop_front();
        }
        let base = snapshots.front().cloned();
        let window =
            current.at.saturating_duration_since(base.as_ref().map_or(self.started_at, |base| base.at));
        if snapshots.back().is_none_or(|last| current.at - last.at >= SNAPSHOT_INTERVAL) {
            snapshots.push_back(Arc::new(current));
        }
        RateBase { snapshot: base, window }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Snapshot {
        let totals = Totals { classes: [0, seconds, 0, 0, 0], ..Totals::default() };
        Snapshot { at: start + Duration::from_secs(seconds), totals: HashMap::from([("a".into(), totals)]) }
    }

    #[test]
    fn the_window_is_about_a_minute_once_the_page_is_requested_repeatedly() {
        let window = RateWindow::default();
        let start = window.started_at;
        let first = window.observe(at(start, 100));
        assert_eq!((first.window.as_secs(), first.totals("a").ended()), (100, 0), "since the start");
        for second in 101..400 {
            let base = window.observe(at(start, second));
            let counted = second - base.totals("a").ended();
            assert_eq!(base.window.as_secs(), counted);
            assert!(counted <= 60, "{second}: {counted}");
            assert!(second < 160 || counted >= 45, "{second}: {counted}");
        }
        assert!(window.snapshots.lock().unwrap().len() <= 5);
        let late = window.observe(at(start, 4000));
        assert!(late.window.as_secs() > 3600, "since the last request");
    }
}
