//! The names of all services of a registry, fetched when a request names an unknown service: a name that the registry
//! contains is distinguished from one that a client made up.

use super::provider::Provider;
use crate::net::background::BackgroundRuntime;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The names are fetched again after this time, if they are still needed.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Older names are not used.
const MAX_AGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The names of one registry.
#[derive(Debug)]
pub struct Catalogue {
    provider: Arc<dyn Provider>,
    background: BackgroundRuntime,
    state: Mutex<CatalogueState>,
}

#[derive(Debug, Default)]
struct CatalogueState {
    /// In lower case, and since when they are known; `None`: not known yet, or the registry has no such list.
    names: Option<(HashSet<String>, Instant)>,
    /// When the last fetch started.
    requested_at: Option<Instant>,
}

impl Catalogue {
    /// The names of the registry of `provider`.
    pub fn new(provider: Arc<dyn Provider>, background: BackgroundRuntime) -> Arc<Catalogue> {
        Arc::new(Catalogue { provider, background, state: Mutex::default() })
    }

    /// Whether the registry has a service of that name, in the namespace of the registry; `None` if that is unknown.
    pub fn contains(self: &Arc<Self>, name: &str, now: Instant) -> Option<bool> {
        let mut state = self.lock();
        if state.requested_at.is_none_or(|at| now.saturating_duration_since(at) >= REFRESH_INTERVAL) {
            state.requested_at = Some(now);
            let catalogue = self.clone();
            self.background.spawn(async move { catalogue.refresh().await });
        }
        let (names, at) = state.names.as_ref()?;
        let is_current = now.saturating_duration_since(*at) < MAX_AGE_TIMEOUT;
        is_current.then(|| names.contains(&name.to_ascii_lowercase()))
    }

    async fn refresh(&self) {
        match self.provider.service_names().await {
            Ok(Some(names)) => {
                let names = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
                self.lock().names = Some((names, Instant::now()));
            }
            Ok(None) => {}
            Err(error) => log::debug!("{}: the names of services: {error}", self.provider.label()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, CatalogueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
