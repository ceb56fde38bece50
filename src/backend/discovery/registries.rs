//! All registries and the services that are followed in them, found again from plan to plan.

use super::{Provider, Service, Settings, Source};
use crate::{
    base::keyed::Keyed,
    telemetry::Metrics,
    wire::{background::Background, dns::Dns},
};
use std::sync::{Arc, Mutex, PoisonError};

/// A registry, and what asks it.
type Asked = (Arc<Settings>, Arc<dyn Provider>);

/// Finds sources by registry and service; what nobody holds any more ends.
pub struct Registries {
    providers: Mutex<Vec<Asked>>,
    sources: Keyed<(Arc<Settings>, Service, bool), Source>,
    background: Background,
    dns: Dns,
    metrics: Arc<Metrics>,
}

impl Registries {
    /// Registries that are asked on this background; what is in the domain name system, there.
    pub fn new(background: Background, dns: Dns, metrics: Arc<Metrics>) -> Registries {
        Registries { providers: Mutex::default(), sources: Keyed::default(), background, dns, metrics }
    }

    /// The service in that registry, followed from now on for as long as somebody holds it.
    ///
    /// One that a request named, not the configuration, is no label of metrics, for there may be any number.
    pub fn follow(&self, settings: &Arc<Settings>, service: &Service, is_unnamed: bool) -> Arc<Source> {
        self.sources.get((settings.clone(), service.clone(), is_unnamed), || {
            let provider = self.provider(settings);
            let label = (!is_unnamed).then_some(service.name.as_str());
            let metrics = self.metrics.discovery(provider.label(), label);
            Source::new(provider, service.clone(), metrics, self.background.clone(), is_unnamed)
        })
    }

    /// One provider for all services of a registry; it is kept while a service is followed with it.
    fn provider(&self, settings: &Arc<Settings>) -> Arc<dyn Provider> {
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
