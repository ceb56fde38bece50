//! The types of registries, one line each.

use super::{
    Provider, Settings, consul::Consul, dns::Domain, eureka::Eureka, file::Listed, kubernetes::Kubernetes,
};
use crate::wire::dns::Dns;
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// A type of registry.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// As `Type` names it, compared without regard to case.
    pub name: &'static str,
    /// The settings that it reads.
    pub reads: &'static [&'static str],
    /// What follows services in such a registry.
    pub provider: fn(&Settings, &Dns) -> Arc<dyn Provider>,
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
pub static KINDS: &[Kind] = &[
    Kind { name: "Consul", reads: CONSUL, provider: |settings, _| Arc::new(Consul::watching(settings)) },
    Kind { name: "PollConsul", reads: CONSUL, provider: |settings, _| Arc::new(Consul::polling(settings)) },
    Kind { name: "Kube", reads: KUBE, provider: |settings, _| Arc::new(Kubernetes::usual(settings)) },
    Kind { name: "PollKube", reads: KUBE, provider: |settings, _| Arc::new(Kubernetes::polling(settings)) },
    Kind { name: "WatchKube", reads: KUBE, provider: |settings, _| Arc::new(Kubernetes::watching(settings)) },
    Kind { name: "Eureka", reads: EUREKA, provider: |settings, _| Arc::new(Eureka::new(settings)) },
    Kind { name: "Dns", reads: DNS, provider: |settings, dns| Arc::new(Domain::addresses(settings, dns)) },
    Kind { name: "DnsSrv", reads: SRV, provider: |settings, dns| Arc::new(Domain::services(settings, dns)) },
    Kind { name: "File", reads: FILE, provider: |settings, _| Arc::new(Listed::new(settings)) },
];

impl Kind {
    /// The type of that name.
    pub fn of(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Kind) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
