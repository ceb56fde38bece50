//! The cryptography provider of TLS.

use std::sync::{Arc, LazyLock};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));

/// The cryptography provider of every connection.
pub(in crate::net) fn provider() -> Arc<CryptoProvider> {
    PROVIDER.clone()
}

/// Makes it the provider of libraries that open TLS connections themselves.
pub fn install_default() {
    // Fails if there is one already, which is the same.
    let _ = ring::default_provider().install_default();
}
