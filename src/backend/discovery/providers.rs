//! The types of registries, one line each.

use super::{
    Provider, ProviderSettings, consul::Consul, dns::DnsProvider, eureka::Eureka, file::FileProvider,
    kubernetes::Kubernetes,
};
use crate::net::dns::Dns;
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// A type of registry.
#[derive(Clone, Copy, Debug)]
pub struct ProviderKind {
    /// As `Type` names it, compared without regard to case.
    pub name: &'static str,
    /// The settings that it reads.
    pub settings: &'static [&'static str],
    /// What follows services in such a registry.
    pub provider: fn(&ProviderSettings, &Dns) -> Arc<dyn Provider>,
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

/// Every type there is; the first is the usual one.
pub static PROVIDERS: &[ProviderKind] = &[
    ProviderKind {
        name: "Consul",
        settings: CONSUL,
        provider: |settings, _| Arc::new(Consul::watch_mode(settings)),
    },
    ProviderKind {
        name: "PollConsul",
        settings: CONSUL,
        provider: |settings, _| Arc::new(Consul::poll_mode(settings)),
    },
    ProviderKind {
        name: "Kube",
        settings: KUBE,
        provider: |settings, _| Arc::new(Kubernetes::kube(settings)),
    },
    ProviderKind {
        name: "PollKube",
        settings: KUBE,
        provider: |settings, _| Arc::new(Kubernetes::polling(settings)),
    },
    ProviderKind {
        name: "WatchKube",
        settings: KUBE,
        provider: |settings, _| Arc::new(Kubernetes::watching(settings)),
    },
    ProviderKind {
        name: "Eureka",
        settings: EUREKA,
        provider: |settings, _| Arc::new(Eureka::new(settings)),
    },
    ProviderKind {
        name: "Dns",
        settings: DNS,
        provider: |settings, dns| Arc::new(DnsProvider::addresses(settings, dns)),
    },
    ProviderKind {
        name: "DnsSrv",
        settings: SRV,
        provider: |settings, dns| Arc::new(DnsProvider::services(settings, dns)),
    },
    ProviderKind {
        name: "File",
        settings: FILE,
        provider: |settings, _| Arc::new(FileProvider::new(settings)),
    },
];

impl ProviderKind {
    /// The type of that name.
    pub fn by_name(name: &str) -> Option<&'static ProviderKind> {
        PROVIDERS.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
    }
}

impl PartialEq for ProviderKind {
    fn eq(&self, other: &ProviderKind) -> bool {
        self.name == other.name
    }
}

impl Eq for ProviderKind {}

impl Hash for ProviderKind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
