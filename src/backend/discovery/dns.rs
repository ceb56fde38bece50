//! The domain name system as a registry: the addresses of a name (`Dns`), or its SRV records (`DnsSrv`, RFC 2782).

use super::{InstanceSink, Provider, ProviderSettings, Service, validate};
use crate::{
    backend::endpoint::Instance,
    net::dns::{Answer, Dns, ServiceRecord},
};
use async_trait::async_trait;
use std::{net::IpAddr, time::Duration};

/// Services as the domain name system knows them.
#[derive(Debug)]
pub struct DnsProvider {
    label: &'static str,
    dns: Dns,
    /// None: by SRV records.
    ports: Option<Ports>,
    /// The domain of services that name none.
    domain: String,
    /// Answers are asked for again at least so often.
    interval: Option<Duration>,
}

/// Which port addresses have.
#[derive(Clone, Copy, Debug)]
struct Ports {
    /// 0: that of the scheme.
    configured: u16,
}

impl DnsProvider {
    /// `Dns`: every address of the name is an instance.
    pub fn addresses(settings: &ProviderSettings, dns: &Dns) -> DnsProvider {
        DnsProvider {
            ports: Some(Ports { configured: settings.port }),
            ..DnsProvider::services(settings, dns)
        }
    }

    /// `DnsSrv`: host and port are in the records.
    pub fn services(settings: &ProviderSettings, dns: &Dns) -> DnsProvider {
        let (dns, domain) = (dns.clone(), settings.namespace.clone());
        DnsProvider { label: settings.kind.name, dns, ports: None, domain, interval: settings.interval }
    }

    /// A namespace is the domain that the service is in.
    fn name(&self, service: &Service) -> String {
        let own = service.namespace.trim_matches('.');
        match if own.is_empty() { self.domain.trim_matches('.') } else { own } {
            "" => service.name.clone(),
            domain => format!("{}.{domain}", service.name.trim_end_matches('.')),
        }
    }

    async fn query(&self, name: &str, service: &Service) -> Result<Answer<Instance>, String> {
        match self.ports {
            Some(ports) => {
                let found = self.dns.lookup_ip(name).await?;
                Ok(from_addresses(found, ports.from_settings(&service.scheme)))
            }
            None => Ok(from_srv_records(self.dns.lookup_srv(name).await?)),
        }
    }
}

impl Ports {
    fn from_settings(self, scheme: &str) -> u16 {
        match (self.configured, scheme) {
            (0, "https" | "wss") => 443,
            (0, _) => 80,
            (port, _) => port,
        }
    }
}

#[async_trait]
impl Provider for DnsProvider {
    fn label(&self) -> &str {
        self.label
    }

    async fn watch(&self, service: &Service, told: &InstanceSink) -> String {
        let mut settings = self.dns.settings();
        let name = self.name(service);
        loop {
            let now = settings.borrow_and_update().clone();
            let found = match self.query(&name, service).await {
                Ok(found) => found,
                Err(trouble) => return format!("{name}: {trouble}"),
            };
            told.publish(found.records);
            let pause = now.refresh(found.ttl);
            tokio::select! {
                () = tokio::time::sleep(self.interval.map_or(pause, |most| pause.min(most))) => {}
                changed = settings.changed() => if changed.is_err() { return "nobody resolves names any more".to_owned() },
            }
        }
    }
}

fn from_addresses(found: Answer<IpAddr>, port: u16) -> Answer<Instance> {
    let mut all = found.records;
    // Servers turn their answers around; the order is no change.
    all.sort_unstable();
    Answer {
        records: all.iter().map(|address| Instance::new(address.to_string(), port)).collect(),
        ttl: found.ttl,
    }
}

/// Only the most wanted ones: others are for when none of them can be reached, which their owner knows better.
fn from_srv_records(found: Answer<ServiceRecord>) -> Answer<Instance> {
    let first = found.records.iter().map(|record| record.priority).min();
    let mut all: Vec<Instance> = found
        .records
        .iter()
        .filter(|record| Some(record.priority) == first)
        .filter_map(|record| {
            let weight = u32::from(record.weight.max(1));
            Some(Instance { weight, ..validate::to_instance(&record.host, record.port.into())? })
        })
        .collect();
    all.sort_unstable_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
    Answer { records: all, ttl: found.ttl }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, host: &str) -> ServiceRecord {
        ServiceRecord { priority, weight, host: host.into(), port: 80 }
    }

    #[test]
    fn of_services_the_most_wanted_count_with_their_weights_in_a_fixed_order() {
        let all = vec![record(2, 1, "late"), record(1, 7, "b"), record(1, 0, "a"), record(1, 1, "a b")];
        let found = from_srv_records(Answer { records: all, ttl: Duration::from_secs(9) });
        let shown: Vec<_> = found.records.iter().map(|i| format!("{}*{}", i.host, i.weight)).collect();
        assert_eq!((shown, found.ttl.as_secs()), (vec!["a*1".to_owned(), "b*7".to_owned()], 9));
    }

    #[test]
    fn addresses_have_the_configured_port_or_that_of_the_scheme() {
        let port = |configured, scheme: &str| Ports { configured }.from_settings(scheme);
        assert_eq!(
            [port(0, "http"), port(0, "https"), port(0, ""), port(8080, "https")],
            [80, 443, 80, 8080]
        );
        let all = vec!["10.0.0.2".parse().unwrap(), "::1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        let found = from_addresses(Answer { records: all, ttl: Duration::ZERO }, 80);
        assert_eq!(
            found.records.iter().map(|i| i.host.as_str()).collect::<Vec<_>>(),
            ["10.0.0.1", "10.0.0.2", "::1"]
        );
    }

    #[test]
    fn the_namespace_is_the_domain_else_that_of_the_registry() {
        let named = |name: &str, namespace: &str, domain: &str| {
            let service = Service { name: name.into(), namespace: namespace.into(), scheme: String::new() };
            let settings = ProviderSettings { namespace: domain.into(), ..ProviderSettings::default() };
            DnsProvider::services(&settings, &Dns::default()).name(&service)
        };
        let names = [named("a", "", ""), named("a", "b.c.", "d"), named("_http._tcp.a", "", "b")];
        assert_eq!(names, ["a", "a.b.c", "_http._tcp.a.b"]);
    }
}
