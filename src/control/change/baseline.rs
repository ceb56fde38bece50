//! The recent traffic of every route, against which a change is judged.

use super::sample::Sample;
use crate::telemetry::Metrics;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The length of a period; the recent traffic is that of the current and the previous one.
const PERIOD: Duration = Duration::from_secs(60);
/// How long after a rollback requests may end that began before it.
const ROLLBACK_GRACE_INTERVAL: Duration = Duration::from_secs(2);

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
    exclusions: Vec<Exclusion>,
}

/// Requests of a route that are no measure for the next change: those of a change that was rolled back.
#[derive(Debug)]
struct Exclusion {
    route: String,
    /// The counters at the change.
    from: Sample,
    /// When the last of these requests has ended, and the counters then.
    until: Instant,
    to: Option<Sample>,
}

impl Baseline {
    /// Begins a new period if the current one is over.
    pub fn tick(&self, now: Instant, metrics: &Metrics) {
        let mut periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *periods.since.get_or_insert(now);
        periods.end_exclusions(now, metrics);
        if now.saturating_duration_since(since) >= PERIOD {
            periods.previous = std::mem::replace(&mut periods.current, counters(metrics));
            periods.since = Some(now);
            periods.exclusions.retain(|exclusion| exclusion.until > since);
        }
    }

    /// Leaves out the requests of these routes since their counters at a change, which is rolled back now.
    pub(super) fn exclude(&self, now: Instant, routes: impl IntoIterator<Item = (String, Sample)>) {
        let until = now + ROLLBACK_GRACE_INTERVAL;
        let exclusion = |(route, from)| Exclusion { route, from, until, to: None };
        let mut periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        periods.exclusions.extend(routes.into_iter().map(exclusion));
    }

    /// The requests of the last one or two minutes.
    pub(super) fn recent(&self, counters: &Counters) -> Counters {
        let periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = counters.iter().map(|(route, sample)| {
            let earlier = periods.previous.get(route).copied().unwrap_or_default();
            let excluded = periods.exclusions.iter().filter(|exclusion| exclusion.route == *route);
            let excluded: Sample =
                excluded.map(|exclusion| exclusion.to.unwrap_or(*sample).since(&exclusion.from)).sum();
            (route.clone(), sample.since(&earlier).since(&excluded))
        });
        recent.collect()
    }
}

impl Periods {
    fn end_exclusions(&mut self, now: Instant, metrics: &Metrics) {
        let mut ended = self.exclusions.iter_mut().filter(|e| e.to.is_none() && e.until <= now).peekable();
        if ended.peek().is_some() {
            let counters = counters(metrics);
            ended.for_each(|exclusion| {
                exclusion.to = Some(counters.get(&exclusion.route).copied().unwrap_or_default());
            });
        }
    }
}

/// The counters of all routes that had a request.
pub(super) fn counters(metrics: &Metrics) -> Counters {
    let all = metrics.route_totals();
    all.iter().map(|(route, totals)| (route.label().to_owned(), Sample::of_route(route, totals))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::RequestEnd;

    #[test]
    fn the_requests_of_a_change_that_was_rolled_back_are_left_out() {
        let (metrics, baseline, start) = (Metrics::new(1), Baseline::default(), Instant::now());
        let route = metrics.route("a");
        let request = || {
            route.begin(0);
            route.end(0, &RequestEnd { status: 500, ..RequestEnd::default() });
        };
        let recent = || baseline.recent(&counters(&metrics)).get("a").map_or(0, |sample| sample.requests);
        request();
        let at_change = counters(&metrics);
        request();
        baseline.exclude(start, at_change);
        assert_eq!(recent(), 1);
        request();
        assert_eq!(recent(), 1, "it began before the rollback");
        baseline.tick(start + ROLLBACK_GRACE_INTERVAL, &metrics);
        request();
        assert_eq!(recent(), 2);
    }

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
