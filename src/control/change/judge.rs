//! The judgment of a change by the traffic after it: whether the 5xx ratio or the p99 of a changed route leaves a band
//! around its value before. Envoy's outlier detection judges endpoints in this way, Argo Rollouts and Flagger releases.
//!
//! A state machine without clock and threads: it observes counters and yields a verdict.

use super::sample::Sample;
use crate::telemetry::RollbackReason;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Requests of a route after the change without which it is not judged.
const MIN_REQUESTS: u64 = 20;
/// Requests after the change with which a route without a finding counts as judged.
const MIN_JUDGED_REQUESTS: u64 = 100;
/// Failed or slow requests without which there is no finding.
const MIN_FINDINGS: u64 = 5;
/// The band around the 5xx ratio.
const MIN_ERROR_BAND: f64 = 0.05;
/// Standard deviations by which a ratio may differ by chance.
const MAX_DEVIATIONS: f64 = 3.0;
/// The share of requests that are slower than the p99, by its definition.
const SLOW_RATIO: f64 = 0.01;
/// A route is slower if this share of its requests takes twice the p99, and at least `MIN_BROAD_LIMIT`.
const BROAD_RATIO: f64 = 0.2;
const BROAD_FACTOR: f64 = 2.0;
const MIN_BROAD_LIMIT: f64 = 0.005;
/// A route is slower if more requests than the slowest hundredth take five times the p99, and at least `MIN_TAIL_LIMIT`.
const TAIL_FACTOR: f64 = 5.0;
const MIN_TAIL_LIMIT: f64 = 0.025;
/// Routes that did not change and have this part of the finding are affected alike.
const ALIKE_RATIO: f64 = 0.5;
/// How long a finding waits for requests of the routes that did not change.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

/// A route during the watch.
#[derive(Clone, Debug)]
pub struct WatchedRoute {
    pub name: String,
    /// Whether the change concerns it; otherwise it shows what happens without the change.
    pub is_changed: bool,
    /// The addresses of its endpoints.
    pub endpoints: BTreeSet<String>,
    /// Its requests in the time before the change.
    pub before: Sample,
    /// Its counters at the change.
    pub start: Sample,
    /// Its requests since the change.
    pub after: Sample,
}

/// The judge of one change.
#[derive(Debug)]
pub struct Judge {
    deadline: Instant,
    routes: Vec<WatchedRoute>,
    /// A finding that waits for requests of the other routes, and since when.
    pending: Option<Instant>,
}

/// What follows from the observations.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The window has not ended.
    Watching,
    /// The change must be rolled back.
    RollBack(Finding),
    /// The window has ended without a finding.
    Kept { requests: u64 },
    /// The window has ended with too few requests.
    NotJudged { requests: u64 },
}

/// Why a change is rolled back.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The ratio of 5xx responses.
    Errors { route: String, before: f64, after: f64, requests: u64 },
    /// The p99 of the latency, in seconds.
    Latency { route: String, before: f64, after: f64, requests: u64 },
}

impl Finding {
    /// The reason of the rollback.
    pub fn reason(&self) -> RollbackReason {
        match self {
            Finding::Errors { .. } => RollbackReason::Errors,
            Finding::Latency { .. } => RollbackReason::Latency,
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Finding::Errors { route, before, after, requests } => {
                let (before, after) = (before * 100.0, after * 100.0);
                write!(f, "route {route}: 5xx ratio {before:.1} % -> {after:.1} % of {requests} requests")
            }
            Finding::Latency { route, before, after, requests } => {
                let ms = |seconds: &f64| seconds * 1000.0;
                write!(f, "route {route}: p99 {} ms -> {} ms of {requests} requests", ms(before), ms(after))
            }
        }
    }
}

impl Judge {
    /// The judge of a change that was applied now.
    pub fn new(now: Instant, window: Duration, routes: Vec<WatchedRoute>) -> Judge {
        Judge { deadline: now + window, routes, pending: None }
    }

    /// Observes the counters of the routes, by their names.
    pub fn observe(&mut self, now: Instant, counters: impl Fn(&str) -> Option<Sample>) -> Verdict {
        for route in &mut self.routes {
            if let Some(counters) = counters(&route.name) {
                route.after = counters.since(&route.start);
            }
        }
        match self.finding(now) {
            Some(finding) => Verdict::RollBack(finding),
            None if now < self.deadline => Verdict::Watching,
            None => self.conclusion(),
        }
    }

    /// The changed routes with their counters at the change.
    pub fn changed_counters(&self) -> Vec<(String, Sample)> {
        self.changed().map(|route| (route.name.clone(), route.start)).collect()
    }

    fn changed(&self) -> impl Iterator<Item = &WatchedRoute> {
        self.routes.iter().filter(|route| route.is_changed)
    }

    fn conclusion(&self) -> Verdict {
        let requests = self.changed().map(|route| route.after.requests).sum();
        match self.changed().any(|route| route.after.requests >= MIN_JUDGED_REQUESTS) {
            true => Verdict::Kept { requests },
            false => Verdict::NotJudged { requests },
        }
    }

    /// The first changed route that left its band, unless the others did so alike.
    fn finding(&mut self, now: Instant) -> Option<Finding> {
        let mut waits = false;
        for route in self.changed() {
            let Some(finding) = errors(route).or_else(|| latency(route)) else { continue };
            let control = Control::of(route, &self.routes);
            if control.is_silent() && now < self.deadline && !self.has_waited(now) {
                waits = true;
            } else if !control.is_affected_alike(&finding, route) {
                return Some(finding);
            }
        }
        self.pending = if waits { self.pending.or(Some(now)) } else { self.pending };
        None
    }

    fn has_waited(&self, now: Instant) -> bool {
        self.pending.is_some_and(|since| now.saturating_duration_since(since) >= CONTROL_TIMEOUT)
    }
}

/// Whether the 5xx ratio of a route left its band.
fn errors(route: &WatchedRoute) -> Option<Finding> {
    let (before, after) = (route.before.error_ratio(), route.after.error_ratio());
    let requests = route.after.requests;
    if requests < MIN_REQUESTS || route.after.errors < MIN_FINDINGS {
        return None;
    }
    let deviation = (before * (1.0 - before) / requests as f64).sqrt();
    let band = MIN_ERROR_BAND.max(MAX_DEVIATIONS * deviation);
    let finding = Finding::Errors { route: route.name.clone(), before, after, requests };
    (after > before + band).then_some(finding)
}

/// Whether the latency of a route left its band.
fn latency(route: &WatchedRoute) -> Option<Finding> {
    let requests = route.after.requests;
    let before = baseline(route)?;
    if requests < MIN_REQUESTS {
        return None;
    }
    let count = requests as f64;
    let broad = route.after.slower_than((before * BROAD_FACTOR).max(MIN_BROAD_LIMIT));
    let tail = route.after.slower_than((before * TAIL_FACTOR).max(MIN_TAIL_LIMIT));
    let by_chance = SLOW_RATIO * count + MAX_DEVIATIONS * (SLOW_RATIO * count).sqrt();
    let is_slower = (broad >= MIN_FINDINGS && broad as f64 >= BROAD_RATIO * count)
        || (tail >= MIN_FINDINGS && tail as f64 > by_chance);
    let after = route.after.p99().unwrap_or(f64::INFINITY);
    is_slower.then(|| Finding::Latency { route: route.name.clone(), before, after, requests })
}

/// The p99 before the change, if there were enough requests.
fn baseline(route: &WatchedRoute) -> Option<f64> {
    if route.before.requests < MIN_REQUESTS { None } else { route.before.p99() }
}

/// The routes that show what happens without the change: those with a common endpoint, otherwise all that did not change.
struct Control<'j>(Vec<&'j WatchedRoute>);

impl<'j> Control<'j> {
    fn of(route: &WatchedRoute, all: &'j [WatchedRoute]) -> Control<'j> {
        let unchanged = || all.iter().filter(|other| !other.is_changed && other.before.requests > 0);
        let common: Vec<_> =
            unchanged().filter(|other| !other.endpoints.is_disjoint(&route.endpoints)).collect();
        Control(if common.is_empty() { unchanged().collect() } else { common })
    }

    /// Whether they had requests before the change, and have too few since then.
    fn is_silent(&self) -> bool {
        let before: u64 = self.0.iter().map(|route| route.before.requests).sum();
        before >= MIN_REQUESTS && self.requests() < MIN_FINDINGS
    }

    fn requests(&self) -> u64 {
        self.0.iter().map(|route| route.after.requests).sum()
    }

    fn is_affected_alike(&self, finding: &Finding, route: &WatchedRoute) -> bool {
        if self.requests() < MIN_FINDINGS {
            return false;
        }
        let (own, other) = match finding {
            Finding::Errors { before, after, .. } => {
                let sum = |part: fn(&WatchedRoute) -> Sample| self.0.iter().map(|r| part(r)).sum::<Sample>();
                let (old, new) = (sum(|r| r.before), sum(|r| r.after));
                (after - before, new.error_ratio() - old.error_ratio())
            }
            Finding::Latency { .. } => (slow_ratio(&[route]), slow_ratio(&self.0)),
        };
        other >= ALIKE_RATIO * own
    }
}

/// The share of requests that take twice the p99 of their route before the change.
fn slow_ratio(routes: &[&WatchedRoute]) -> f64 {
    let (mut slow, mut all) = (0, 0);
    for route in routes {
        let Some(before) = baseline(route) else { continue };
        slow += route.after.slower_than((before * BROAD_FACTOR).max(MIN_BROAD_LIMIT));
        all += route.after.requests;
    }
    if all == 0 { 0.0 } else { slow as f64 / all as f64 }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
