//! Least request: the endpoint with the fewest exchanges in flight for its weight.

use crate::backend::{
    endpoint::Endpoint,
    selection::{InFlightGuard, Selection},
};
use std::sync::{Arc, atomic::Ordering};

/// The loads of two endpoints as comparable numbers: each one is multiplied by the other endpoint's weight.
fn weighted_load(first: &Endpoint, first_load: u32, second: &Endpoint, second_load: u32) -> (u64, u64) {
    (u64::from(first_load) * u64::from(second.weight), u64::from(second_load) * u64::from(first.weight))
}

fn in_flight(endpoint: &Endpoint) -> u32 {
    endpoint.state.in_flight.load(Ordering::Relaxed)
}

/// Selects the least loaded endpoint and counts it in one step, again if another worker was faster. Ties go to the first.
pub fn take_least_loaded<'e>(
    endpoints: impl Iterator<Item = &'e Arc<Endpoint>> + Clone,
) -> Option<Selection> {
    loop {
        let mut best: Option<(&Arc<Endpoint>, u32)> = None;
        for endpoint in endpoints.clone() {
            let load = in_flight(endpoint);
            let is_less = best.is_none_or(|(best, best_load)| {
                let (own, other) =
                    weighted_load(endpoint, load.saturating_add(1), best, best_load.saturating_add(1));
                own < other
            });
            if is_less {
                best = Some((endpoint, load));
            }
        }
        let (best, seen) = best?;
        if let Some(guard) = InFlightGuard::compare_and_count(best, seen) {
            return Some(Selection { endpoint: best.clone(), in_flight: Some(guard) });
        }
    }
}

/// The less loaded of two endpoints; ties go to the first.
pub fn less_loaded<'e>(first: &'e Arc<Endpoint>, second: &'e Arc<Endpoint>) -> &'e Arc<Endpoint> {
    let (first_load, second_load) = weighted_load(first, in_flight(first), second, in_flight(second));
    if second_load < first_load { second } else { first }
}
