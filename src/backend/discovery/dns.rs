//! DNS as a registry: the addresses of a name (`Dns`), or its SRV records (`DnsSrv`, RFC 2782).

use super::{
    provider::{Provider, Service},
    service_state::InstanceSink,
    validate,
};
use crate::{
    backend::endpoint::Instance,
    net::dns::{Answer, Dns, ServiceRecord},
};
use async_trait::async_trait;
use std::{net::IpAddr, time::Duration};

/// The settings of DNS discovery.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsSettings {
    pub records: RecordType,
    /// The domain of services without a namespace.
    pub domain: String,
    /// The maximum time between two queries; they are also repeated when their TTL expires.
    pub interval: Option<Duration>,
}

/// The DNS records that contain the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// A and AAAA records: each address is an instance. Port 0: the default port of the scheme.
    Address { port: u16 },
    /// SRV records, which contain host, port and weight.
    Srv,
}

/// Discovers services in DNS.
#[derive(Debug)]
pub struct DnsProvider {
    settings: DnsSettings,
    dns: Dns,
}

impl DnsProvider {
    /// Resolves services through `dns`, whose cache it shares with the connections to backends.
    pub fn new(settings: &DnsSettings, dns: &Dns) -> DnsProvider {
        DnsProvider { settings: settings.clone(), dns: dns.clone() }
    }

    /// The DNS name of a service; its namespace is the domain.
    fn name(&self, service: &Service) -> String {
        let own = service.namespace.trim_matches('.');
        match if own.is_empty() { self.settings.domain.trim_matches('.') } else { own } {
            "" => service.name.clone(),
            domain => format!("{}.{domain}", service.name.trim_end_matches('.')),
        }
    }

    async fn query(&self, name: &str, service: &Service) -> Result<Answer<Instance>, String> {
        match self.settings.records {
            RecordType::Address { port } => {
                let answer = self.dns.lookup_ip(name).await?;
                Ok(from_addresses(answer, port_of(port, &service.scheme)))
            }
            RecordType::Srv => Ok(from_srv_records(self.dns.lookup_srv(name).await?)),
        }
    }
}

/// The configured port, or the default port of the scheme.
fn port_of(configured: u16, scheme: &str) -> u16 {
    match (configured, scheme) {
        (0, "https" | "wss") => 443,
        (0, _) => 80,
        (port, _) => port,
    }
}

#[async_trait]
impl Provider for DnsProvider {
    fn label(&self) -> &str {
        match self.settings.records {
            RecordType::Address { .. } => "Dns",
            RecordType::Srv => "DnsSrv",
        }
    }

    async fn watch(&self, service: &Service, sink: &InstanceSink) -> String {
        let mut resolver_settings = self.dns.settings();
        let name = self.name(service);
        loop {
            let current = resolver_settings.borrow_and_update().clone();
            let answer = match self.query(&name, service).await {
                Ok(answer) => answer,
                Err(error) => return format!("{name}: {error}"),
            };
            sink.publish(answer.records);
            let ttl = current.refresh(answer.ttl);
            let delay = self.settings.interval.map_or(ttl, |max| ttl.min(max));
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                changed = resolver_settings.changed() => if changed.is_err() { return "the resolver was stopped".to_owned() },
            }
        }
    }
}

fn from_addresses(answer: Answer<IpAddr>, port: u16) -> Answer<Instance> {
    let mut all = answer.records;
    // Servers rotate the records; their order is no change.
    all.sort_unstable();
    Answer {
        records: all.iter().map(|address| Instance::new(address.to_string(), port)).collect(),
        ttl: answer.ttl,
    }
}

/// The records with the best priority. The others are a fallback that only their operator can time.
fn from_srv_records(answer: Answer<ServiceRecord>) -> Answer<Instance> {
    let best = answer.records.iter().map(|record| record.priority).min();
    let mut all: Vec<Instance> = answer
        .records
        .iter()
        .filter(|record| Some(record.priority) == best)
        .filter_map(|record| {
            let weight = u32::from(record.weight.max(1));
            Some(Instance { weight, ..validate::to_instance(&record.host, record.port.into())? })
        })
        .collect();
    all.sort_unstable_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
    Answer { records: all, ttl: answer.ttl }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, host: &str) -> ServiceRecord {
        ServiceRecord { priority, weight, host: host.into(), port: 80 }
    }

    #[test]
    fn srv_records_of_the_best_priority_count_with_their_weights_in_a_fixed_order() {
        let all = vec![record(2, 1, "late"), record(1, 7, "b"), record(1, 0, "a"), record(1, 1, "a b")];
        let answer = from_srv_records(Answer { records: all, ttl: Duration::from_secs(9) });
        let instances: Vec<_> = answer.records.iter().map(|i| format!("{}*{}", i.host, i.weight)).collect();
        assert_eq!((instances, answer.ttl.as_secs()), (vec!["a*1".to_owned(), "b*7".to_owned()], 9));
    }

    #[test]
    fn addresses_have_the_configured_port_or_the_default_of_the_scheme() {
        let port = |configured, scheme: &str| port_of(configured, scheme);
        assert_eq!(
            [port(0, "http"), port(0, "https"), port(0, ""), port(8080, "https")],
            [80, 443, 80, 8080]
        );
        let all = vec!["10.0.0.2".parse().unwrap(), "::1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        let answer = from_addresses(Answer { records: all, ttl: Duration::ZERO }, 80);
        assert_eq!(
            answer.records.iter().map(|i| i.host.as_str()).collect::<Vec<_>>(),
            ["10.0.0.1", "10.0.0.2", "::1"]
        );
    }

    #[test]
    fn the_namespace_is_the_domain_or_else_the_domain_of_the_settings() {
        let named = |name: &str, namespace: &str, domain: &str| {
            let service = Service { name: name.into(), namespace: namespace.into(), scheme: String::new() };
            let settings = DnsSettings { records: RecordType::Srv, domain: domain.into(), interval: None };
            DnsProvider::new(&settings, &Dns::default()).name(&service)
        };
        let names = [named("a", "", ""), named("a", "b.c.", "d"), named("_http._tcp.a", "", "b")];
        assert_eq!(names, ["a", "a.b.c", "_http._tcp.a.b"]);
    }
}
