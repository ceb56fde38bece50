//! Failed proofs of a client address: after ten within a minute, the address is refused for a minute.

use crate::base::client_prefix::ClientPrefix;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const MAX_FAILED_PROOFS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Most addresses that are remembered; then the oldest windows are dropped.
const MAX_ADDRESSES: usize = 10_000;

/// The failed proofs of all addresses.
#[derive(Debug, Default)]
pub struct FailedProofs(Mutex<HashMap<ClientPrefix, (Instant, u32)>>);

impl FailedProofs {
    /// Whether the address is refused without looking at its proof.
    pub fn is_refused(&self, client: IpAddr, now: Instant) -> bool {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(&client.into()).is_some_and(|(since, count)| {
            *count >= MAX_FAILED_PROOFS && now.saturating_duration_since(*since) < WINDOW
        })
    }

    /// Counts a failed proof. The minute of refusal begins with the last one that is counted.
    pub fn record(&self, client: IpAddr, now: Instant) {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= MAX_ADDRESSES {
            failed.retain(|_, (since, _)| now.saturating_duration_since(*since) < WINDOW);
            if failed.len() >= MAX_ADDRESSES {
                failed.clear();
            }
        }
        let (since, count) = failed.entry(client.into()).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count == MAX_FAILED_PROOFS {
            *since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failed_proofs_refuse_the_address_for_a_minute() {
        let (proofs, start) = (FailedProofs::default(), Instant::now());
        let [client, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            assert!(!proofs.is_refused(client, now));
            proofs.record(client, now);
        }
        let last = start + Duration::from_secs(9);
        assert!(proofs.is_refused(client, last) && !proofs.is_refused(other, last));
        assert!(proofs.is_refused(client, last + WINDOW - Duration::from_secs(1)));
        assert!(!proofs.is_refused(client, last + WINDOW));
    }
}
