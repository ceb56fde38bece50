//! TLS handshakes of listeners by outcome, and expiry dates of certificates.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The outcome of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// A full handshake.
    Full,
    /// A resumed session.
    Resumed,
    Failed,
    /// Not finished within the timeout.
    TimedOut,
}

impl Handshake {
    /// All outcomes, in the order they are exported.
    pub const ALL: [Handshake; 4] =
        [Handshake::Full, Handshake::Resumed, Handshake::Failed, Handshake::TimedOut];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            Handshake::Full => "full",
            Handshake::Resumed => "resumed",
            Handshake::Failed => "failed",
            Handshake::TimedOut => "timeout",
        }
    }
}

/// The handshakes of one listener. A handshake costs far more than an atomic addition.
#[derive(Debug, Default)]
pub struct TlsMetrics([AtomicU64; 4]);

impl TlsMetrics {
    /// Counts one handshake.
    pub fn count(&self, outcome: Handshake) {
        self.0[outcome as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn total(&self, outcome: Handshake) -> u64 {
        self.0[outcome as usize].load(Relaxed)
    }
}

/// The expiry date of a listener certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    pub listener: String,
    /// Its file, as configured.
    pub certificate: String,
    /// Unix time.
    pub not_after: i64,
}

/// The metrics of all listeners.
#[derive(Debug, Default)]
pub struct TlsTable {
    listeners: Mutex<BTreeMap<Box<str>, Weak<TlsMetrics>>>,
    certificates: Mutex<Vec<CertificateExpiry>>,
}

impl TlsTable {
    /// The handle of a listener, exported while the handle is in use.
    pub fn handle(&self, listener: &str) -> Arc<TlsMetrics> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(existing) = listeners.get(listener).and_then(Weak::upgrade) {
            return existing;
        }
        listeners.retain(|_, handle| handle.strong_count() > 0);
        let new = Arc::new(TlsMetrics::default());
        listeners.insert(listener.into(), Arc::downgrade(&new));
        new
    }

    /// Replaces the set of certificates in use.
    pub fn certificates(&self, certificates: Vec<CertificateExpiry>) {
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
    }

    pub(super) fn handshakes(&self) -> Vec<(Box<str>, Arc<TlsMetrics>)> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().filter_map(|(name, handle)| Some((name.clone(), handle.upgrade()?))).collect()
    }

    pub(super) fn certificate_expiries(&self) -> Vec<CertificateExpiry> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_keeps_its_counters_across_plans_until_the_last_one() {
        let table = TlsTable::default();
        let old = table.handle("public");
        old.count(Handshake::Resumed);
        let new = table.handle("public");
        drop(old);
        assert_eq!(new.total(Handshake::Resumed), 1);
        assert_eq!(table.handshakes().len(), 1);
        drop(new);
        assert!(table.handshakes().is_empty());
    }
}
