//! All registries and the services that are followed in them, found again from plan to plan.

use super::{Provider, ProviderSettings, Service, ServiceWatch};
use crate::{
    base::weak_map::WeakMap,
    net::{background::BackgroundRuntime, dns::Dns},
    telemetry::Metrics,
};
use std::sync::{Arc, Mutex, PoisonError};

/// A registry, and what asks it.
type ServiceKey = (Arc<ProviderSettings>, Arc<dyn Provider>);

/// Finds sources by registry and service; what nobody holds any more ends.
pub struct Registries {
    providers: Mutex<Vec<ServiceKey>>,
    sources: WeakMap<(Arc<ProviderSettings>, Service, bool), ServiceWatch>,
    background: BackgroundRuntime,
    dns: Dns,
    metrics: Arc<Metrics>,
}

impl Registries {
    /// Registries that are asked on this background; what is in the domain name system, there.
    pub fn new(background: BackgroundRuntime, dns: Dns, metrics: Arc<Metrics>) -> Registries {
        Registries { providers: Mutex::default(), sources: WeakMap::default(), background, dns, metrics }
    }

    /// The service in that registry, followed from now on for as long as somebody holds it.
    ///
    /// One that a request named, not the configuration, is no label of metrics, for there may be any number.
    pub fn watch(
        &self,
        settings: &Arc<ProviderSettings>,
        service: &Service,
        is_unnamed: bool,
    ) -> Arc<ServiceWatch> {
        self.sources.get_or_insert_with((settings.clone(), service.clone(), is_unnamed), || {
            let provider = self.provider(settings);
            let label = (!is_unnamed).then_some(service.name.as_str());
            let metrics = self.metrics.discovery(provider.label(), label);
            ServiceWatch::new(provider, service.clone(), metrics, self.background.clone(), is_unnamed)
        })
    }

    /// One provider for all services of a registry; it is kept while a service is followed with it.
    fn provider(&self, settings: &Arc<ProviderSettings>) -> Arc<dyn Provider> {
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, provider)) = providers.iter().find(|(known, _)| known == settings) {
            return provider.clone();
        }
        providers.retain(|(_, provider)| Arc::strong_count(provider) > 1);
        let provider = (settings.kind.provider)(settings, &self.dns);
        providers.push((settings.clone(), provider.clone()));
        provider
    }
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Registries")
    }
}
