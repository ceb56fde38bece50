//! Metrics of resilience: retries, circuit breaker transitions, fallbacks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $group:literal, $text:literal;)*) => {
        /// A resilience event of a route.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event { $($(#[$doc])* $name),* }

        impl Event {
            /// All events, in the order they are exported.
            pub const ALL: &[Event] = &[$(Event::$name),*];

            /// The metric family of the event, and the value of its label.
            pub fn family_and_label(self) -> (&'static str, &'static str) {
                match self { $(Event::$name => ($group, $text)),* }
            }
        }
    };
}

events! {
    /// Retried because connecting failed.
    RetriedConnect = "margay_retries_total", "connect";
    RetriedReset = "margay_retries_total", "reset";
    RetriedTimeout = "margay_retries_total", "timeout";
    RetriedStatus = "margay_retries_total", "status";
    RetriedGrpc = "margay_retries_total", "grpc";
    /// Not retried because the retry budget was exhausted.
    BudgetExhausted = "margay_retry_budget_exhausted_total", "";
    BreakerOpened = "margay_circuit_breaker_events_total", "opened";
    BreakerClosed = "margay_circuit_breaker_events_total", "closed";
    BreakerRefused = "margay_circuit_breaker_events_total", "rejected";
    Fallback = "margay_fallbacks_total", "";
}

/// The counters of a route with resilience settings.
#[derive(Debug)]
pub struct ResilienceMetrics {
    label: Box<str>,
    counts: [AtomicU64; Event::ALL.len()],
}

impl ResilienceMetrics {
    pub(super) fn new(label: &str) -> ResilienceMetrics {
        ResilienceMetrics { label: label.into(), counts: Default::default() }
    }

    /// The route label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Counts one event: rare enough that all workers share the counter.
    pub fn count(&self, event: Event) {
        self.counts[event as usize].fetch_add(1, Relaxed);
    }

    /// Whether an event was counted.
    pub fn is_used(&self) -> bool {
        self.counts.iter().any(|count| count.load(Relaxed) > 0)
    }

    /// The number of these events since the start of the process.
    pub fn total(&self, event: Event) -> u64 {
        self.counts[event as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Metrics, *};

    #[test]
    fn a_scrape_contains_retries_breaker_events_and_fallbacks() {
        let metrics = Metrics::new(1);
        let route = metrics.attempts("orders");
        route.count(Event::RetriedReset);
        metrics.attempts("orders").count(Event::RetriedReset);
        route.count(Event::BudgetExhausted);
        route.count(Event::BreakerOpened);
        let text = metrics.render();
        for line in [
            "margay_retries_total{reason=\"reset\",route=\"orders\"} 2",
            "margay_retries_total{reason=\"connect\",route=\"orders\"} 0",
            "margay_retry_budget_exhausted_total{route=\"orders\"} 1",
            "margay_circuit_breaker_events_total{event=\"opened\",route=\"orders\"} 1",
            "margay_fallbacks_total{route=\"orders\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }
}
