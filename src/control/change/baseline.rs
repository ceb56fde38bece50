//! The recent traffic of every route, against which a change is judged.

use super::sample::Sample;
use crate::telemetry::Metrics;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The length of a period; the recent traffic is that of the current and the previous one.
const PERIOD: Duration = Duration::from_secs(60);

/// Counters of routes by their labels.
pub(super) type Counters = HashMap<String, Sample>;

/// The counters at the start of the last two periods; routes without requests have none.
#[derive(Debug, Default)]
pub struct Baseline(Mutex<Periods>);

#[derive(Debug, Default)]
struct Periods {
    previous: Counters,
    current: Counters,
    /// When the current period began; `None`: with the process.
    since: Option<Instant>,
}

impl Baseline {
    /// Begins a new period if the current one is over.
    pub fn tick(&self, now: Instant, metrics: &Metrics) {
        let mut periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *periods.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= PERIOD {
            periods.previous = std::mem::replace(&mut periods.current, counters(metrics));
            periods.since = Some(now);
        }
    }

    /// The requests of the last one or two minutes.
    pub(super) fn recent(&self, counters: &Counters) -> Counters {
        let periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = counters.iter().map(|(route, sample)| {
            let earlier = periods.previous.get(route).copied().unwrap_or_default();
            (route.clone(), sample.since(&earlier))
        });
        recent.collect()
    }
}

/// The counters of all routes that had a request.
pub(super) fn counters(metrics: &Metrics) -> Counters {
    let all = metrics.route_totals();
    all.iter().map(|(route, totals)| (route.label().to_owned(), Sample::from(totals))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::RequestEnd;

    #[test]
    fn the_recent_traffic_is_that_of_the_last_two_periods() {
        let (metrics, baseline, start) = (Metrics::new(1), Baseline::default(), Instant::now());
        let route = metrics.route("a");
        let request = || {
            route.begin(0);
            route.end(
                0,
                &RequestEnd { status: 200, duration: Duration::from_millis(1), ..RequestEnd::default() },
            );
        };
        let recent = || baseline.recent(&counters(&metrics)).get("a").map_or(0, |sample| sample.requests);
        request();
        baseline.tick(start, &metrics);
        assert_eq!(recent(), 1, "since the start");
        for period in 1..=2 {
            request();
            baseline.tick(start + PERIOD * period, &metrics);
        }
        assert_eq!(recent(), 1, "the first period is over");
        request();
        assert_eq!(recent(), 2);
    }
}
