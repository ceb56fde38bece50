//! All registries and the services watched in them; found again from plan to plan.

use super::{
    catalogue::Catalogue,
    provider::{Provider, Service},
    providers::ProviderSettings,
    service_watch::ServiceWatch,
};
use crate::{
    base::weak_map::WeakMap,
    net::{background::BackgroundRuntime, dns::Dns},
    telemetry::Metrics,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Providers by their settings.
type Providers = Vec<(Arc<ProviderSettings>, Arc<dyn Provider>)>;

/// The providers and watches of a process. A watch ends when its last user drops it.
pub struct Registries {
    providers: Mutex<Providers>,
    watches: WeakMap<(Arc<ProviderSettings>, Service, bool), ServiceWatch>,
    background: BackgroundRuntime,
    dns: Dns,
    metrics: Arc<Metrics>,
}

impl Registries {
    /// Registries that are watched on `background`; `dns` serves the DNS providers.
    pub fn new(background: BackgroundRuntime, dns: Dns, metrics: Arc<Metrics>) -> Registries {
        Registries { providers: Mutex::default(), watches: WeakMap::default(), background, dns, metrics }
    }

    /// Watches a service until the returned value is dropped.
    ///
    /// A service that a request named (`is_from_request`) is no metric label, because their number is unlimited.
    pub fn watch(
        &self,
        settings: &Arc<ProviderSettings>,
        service: &Service,
        is_from_request: bool,
    ) -> Arc<ServiceWatch> {
        self.watches.get_or_insert_with((settings.clone(), service.clone(), is_from_request), || {
            let provider = self.provider(settings);
            let label = (!is_from_request).then_some(service.name.as_str());
            let metrics = self.metrics.discovery(provider.label(), label);
            ServiceWatch::new(provider, service.clone(), metrics, self.background.clone(), is_from_request)
        })
    }

    /// The names of all services of a registry.
    pub fn catalogue(&self, settings: &Arc<ProviderSettings>) -> Arc<Catalogue> {
        Catalogue::new(self.provider(settings), self.background.clone())
    }

    /// The one provider for all services of a registry; kept while a watch uses it.
    fn provider(&self, settings: &Arc<ProviderSettings>) -> Arc<dyn Provider> {
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, provider)) = providers.iter().find(|(known, _)| known == settings) {
            return provider.clone();
        }
        providers.retain(|(_, provider)| Arc::strong_count(provider) > 1);
        let provider = settings.build(&self.dns);
        providers.push((settings.clone(), provider.clone()));
        provider
    }
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Registries")
    }
}
