//! Those with the fewest exchanges under way, for their weight.

use super::{super::cluster::Picked, Arc, Endpoint, Lease, Ordering};

/// Exchanges under way, this one included, beside those of another endpoint: both times the other one's weight.
fn beside(one: &Endpoint, leases: u32, two: &Endpoint, others: u32) -> (u64, u64) {
    (u64::from(leases) * u64::from(two.weight), u64::from(others) * u64::from(one.weight))
}

fn leases(endpoint: &Endpoint) -> u32 {
    endpoint.state.leases.load(Ordering::Relaxed)
}

/// Takes the minimum and counts it in one step: if another worker was faster, looks again. Of equals the first.
pub fn first<'e>(endpoints: impl Iterator<Item = &'e Arc<Endpoint>> + Clone) -> Option<Picked> {
    loop {
        let mut best: Option<(&Arc<Endpoint>, u32)> = None;
        for endpoint in endpoints.clone() {
            let own = leases(endpoint);
            let less = best.is_none_or(|(best, leases)| {
                let (own, least) = beside(endpoint, own.saturating_add(1), best, leases.saturating_add(1));
                own < least
            });
            if less {
                best = Some((endpoint, own));
            }
        }
        let (best, seen) = best?;
        let counted =
            best.state.leases.compare_exchange(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed);
        if counted.is_ok() {
            return Some(Picked { endpoint: best.clone(), lease: Some(Lease(best.state.clone())) });
        }
    }
}

/// The one with less to do; of equals the first.
pub fn idler<'e>(one: &'e Arc<Endpoint>, two: &'e Arc<Endpoint>) -> &'e Arc<Endpoint> {
    let (first, second) = beside(one, leases(one), two, leases(two));
    if second < first { two } else { one }
}
