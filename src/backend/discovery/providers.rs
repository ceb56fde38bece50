//! The provider types, one line each.

use super::{
    consul::{Consul, ConsulSettings},
    dns::{DnsProvider, DnsSettings},
    eureka::{Eureka, EurekaSettings},
    file::{FileProvider, FileSettings},
    kubernetes::{Kubernetes, KubernetesSettings},
    provider::Provider,
};
use crate::net::dns::Dns;
use std::sync::Arc;

/// The settings of a registry. Equal settings are one registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProviderSettings {
    Consul(ConsulSettings),
    Kubernetes(KubernetesSettings),
    Eureka(EurekaSettings),
    Dns(DnsSettings),
    File(FileSettings),
}

impl ProviderSettings {
    /// The provider for a registry with these settings.
    pub fn build(&self, dns: &Dns) -> Arc<dyn Provider> {
        match self {
            ProviderSettings::Consul(settings) => Arc::new(Consul::new(settings)),
            ProviderSettings::Kubernetes(settings) => Arc::new(Kubernetes::new(settings)),
            ProviderSettings::Eureka(settings) => Arc::new(Eureka::new(settings)),
            ProviderSettings::Dns(settings) => Arc::new(DnsProvider::new(settings, dns)),
            ProviderSettings::File(settings) => Arc::new(FileProvider::new(settings)),
        }
    }
}

/// The provider types of documents (`Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    Consul,
    PollConsul,
    Kube,
    PollKube,
    WatchKube,
    Eureka,
    Dns,
    DnsSrv,
    File,
}

#[rustfmt::skip]
const CONSUL: &[&str] = &[
    "Scheme", "Host", "Port", "CaFile", "Token", "PollingInterval", "Namespace",
    "Datacenter", "Tags", "ServiceMetadata", "UseNodeName", "Stale",
];
#[rustfmt::skip]
const KUBE: &[&str] =
    &["Scheme", "Host", "Port", "CaFile", "Token", "PollingInterval", "Namespace", "EndpointSlices"];
const EUREKA: &[&str] = &["Scheme", "Host", "Port", "CaFile", "Token", "PollingInterval", "Path"];
const DNS: &[&str] = &["Port", "PollingInterval", "Namespace"];
const SRV: &[&str] = &["PollingInterval", "Namespace"];
const FILE: &[&str] = &["PollingInterval", "File"];

/// The types with their names and the settings they read; the first is the default.
const PROVIDERS: [(ProviderKind, &str, &[&str]); 9] = [
    (ProviderKind::Consul, "Consul", CONSUL),
    (ProviderKind::PollConsul, "PollConsul", CONSUL),
    (ProviderKind::Kube, "Kube", KUBE),
    (ProviderKind::PollKube, "PollKube", KUBE),
    (ProviderKind::WatchKube, "WatchKube", KUBE),
    (ProviderKind::Eureka, "Eureka", EUREKA),
    (ProviderKind::Dns, "Dns", DNS),
    (ProviderKind::DnsSrv, "DnsSrv", SRV),
    (ProviderKind::File, "File", FILE),
];

impl ProviderKind {
    /// The type of a registry without `Type`.
    pub const DEFAULT: ProviderKind = ProviderKind::Consul;

    /// All names, as documents contain them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PROVIDERS.iter().map(|(_, name, _)| *name)
    }

    /// The type with this name, case-insensitive.
    pub fn by_name(name: &str) -> Option<ProviderKind> {
        PROVIDERS.iter().find(|row| row.1.eq_ignore_ascii_case(name)).map(|row| row.0)
    }

    /// The name, as documents contain it.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The settings that the type reads.
    pub fn settings(self) -> &'static [&'static str] {
        self.row().2
    }

    fn row(self) -> &'static (ProviderKind, &'static str, &'static [&'static str]) {
        PROVIDERS.iter().find(|row| row.0 == self).unwrap_or(&PROVIDERS[0])
    }
}
