//! Those with the fewest exchanges under way, for their weight.

use super::{super::cluster::Selection, Arc, Endpoint, InFlightGuard, Ordering};

/// Exchanges under way, this one included, beside those of another endpoint: both times the other one's weight.
fn weighted_load(one: &Endpoint, leases: u32, two: &Endpoint, others: u32) -> (u64, u64) {
    (u64::from(leases) * u64::from(two.weight), u64::from(others) * u64::from(one.weight))
}

fn in_flight(endpoint: &Endpoint) -> u32 {
    endpoint.state.in_flight.load(Ordering::Relaxed)
}

/// Takes the minimum and counts it in one step: if another worker was faster, looks again. Of equals the first.
pub fn take_least_loaded<'e>(
    endpoints: impl Iterator<Item = &'e Arc<Endpoint>> + Clone,
) -> Option<Selection> {
    loop {
        let mut best: Option<(&Arc<Endpoint>, u32)> = None;
        for endpoint in endpoints.clone() {
            let own = in_flight(endpoint);
            let less = best.is_none_or(|(best, leases)| {
                let (own, least) =
                    weighted_load(endpoint, own.saturating_add(1), best, leases.saturating_add(1));
                own < least
            });
            if less {
                best = Some((endpoint, own));
            }
        }
        let (best, seen) = best?;
        let counted =
            best.state.in_flight.compare_exchange(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed);
        if counted.is_ok() {
            return Some(Selection {
                endpoint: best.clone(),
                lease: Some(InFlightGuard(best.state.clone())),
            });
        }
    }
}

/// The one with less to do; of equals the first.
pub fn less_loaded<'e>(one: &'e Arc<Endpoint>, two: &'e Arc<Endpoint>) -> &'e Arc<Endpoint> {
    let (first, second) = weighted_load(one, in_flight(one), two, in_flight(two));
    if second < first { two } else { one }
}
