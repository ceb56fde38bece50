//! TLS handshakes of listeners by outcome, and expiry dates of certificates.

use super::registry::{WeakRegistry, lock};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

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
    listeners: WeakRegistry<Box<str>, TlsMetrics>,
    certificates: Mutex<Vec<CertificateExpiry>>,
}

impl TlsTable {
    /// The handle of a listener, exported while the handle is in use.
    pub fn handle(&self, listener: &str) -> Arc<TlsMetrics> {
        self.listeners.get_or_default(listener.into(), usize::MAX)
    }

    /// Replaces the set of certificates in use.
    pub fn certificates(&self, certificates: Vec<CertificateExpiry>) {
        *lock(&self.certificates) = certificates;
    }

    pub(super) fn handshakes(&self) -> Vec<(Box<str>, Arc<TlsMetrics>)> {
        self.listeners.entries()
    }

    pub(super) fn certificate_expiries(&self) -> Vec<CertificateExpiry> {
        lock(&self.certificates).clone()
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
