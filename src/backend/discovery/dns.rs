//! The domain name system as a registry: the addresses of a name (`Dns`), or its SRV records (`DnsSrv`, RFC 2782).

use super::{Provider, Service, Settings, Told, valid};
use crate::{
    backend::endpoint::Instance,
    wire::dns::{Dns, Found, ServiceRecord},
};
use async_trait::async_trait;
use std::{net::IpAddr, time::Duration};

/// Services as the domain name system knows them.
#[derive(Debug)]
pub struct Domain {
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

impl Domain {
    /// `Dns`: every address of the name is an instance.
    pub fn addresses(settings: &Settings, dns: &Dns) -> Domain {
        Domain { ports: Some(Ports { configured: settings.port }), ..Domain::services(settings, dns) }
    }

    /// `DnsSrv`: host and port are in the records.
    pub fn services(settings: &Settings, dns: &Dns) -> Domain {
        let (dns, domain) = (dns.clone(), settings.namespace.clone());
        Domain { label: settings.kind.name, dns, ports: None, domain, interval: settings.interval }
    }

    /// A namespace is the domain that the service is in.
    fn name(&self, service: &Service) -> String {
        let own = service.namespace.trim_matches('.');
        match if own.is_empty() { self.domain.trim_matches('.') } else { own } {
            "" => service.name.clone(),
            domain => format!("{}.{domain}", service.name.trim_end_matches('.')),
        }
    }

    async fn look(&self, name: &str, service: &Service) -> Result<Found<Instance>, String> {
        match self.ports {
            Some(ports) => {
                let found = self.dns.addresses(name).await?;
                Ok(at_addresses(found, ports.of(&service.scheme)))
            }
            None => Ok(of_records(self.dns.services(name).await?)),
        }
    }
}

impl Ports {
    fn of(self, scheme: &str) -> u16 {
        match (self.configured, scheme) {
            (0, "https" | "wss") => 443,
            (0, _) => 80,
            (port, _) => port,
        }
    }
}

#[async_trait]
impl Provider for Domain {
    fn label(&self) -> &str {
        self.label
    }

    async fn follow(&self, service: &Service, told: &Told) -> String {
        let mut settings = self.dns.settings();
        let name = self.name(service);
        loop {
            let now = settings.borrow_and_update().clone();
            let found = match self.look(&name, service).await {
                Ok(found) => found,
                Err(trouble) => return format!("{name}: {trouble}"),
            };
            told.tell(found.all);
            let pause = now.refresh(found.holds);
            tokio::select! {
                () = tokio::time::sleep(self.interval.map_or(pause, |most| pause.min(most))) => {}
                changed = settings.changed() => if changed.is_err() { return "nobody resolves names any more".to_owned() },
            }
        }
    }
}

fn at_addresses(found: Found<IpAddr>, port: u16) -> Found<Instance> {
    let mut all = found.all;
    // Servers turn their answers around; the order is no change.
    all.sort_unstable();
    Found {
        all: all.iter().map(|address| Instance::new(address.to_string(), port)).collect(),
        holds: found.holds,
    }
}

/// Only the most wanted ones: others are for when none of them can be reached, which their owner knows better.
fn of_records(found: Found<ServiceRecord>) -> Found<Instance> {
    let first = found.all.iter().map(|record| record.priority).min();
    let mut all: Vec<Instance> = found
        .all
        .iter()
        .filter(|record| Some(record.priority) == first)
        .filter_map(|record| {
            let weight = u32::from(record.weight.max(1));
            Some(Instance { weight, ..valid::instance(&record.host, record.port.into())? })
        })
        .collect();
    all.sort_unstable_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
    Found { all, holds: found.holds }
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
        let found = of_records(Found { all, holds: Duration::from_secs(9) });
        let shown: Vec<_> = found.all.iter().map(|i| format!("{}*{}", i.host, i.weight)).collect();
        assert_eq!((shown, found.holds.as_secs()), (vec!["a*1".to_owned(), "b*7".to_owned()], 9));
    }

    #[test]
    fn addresses_have_the_configured_port_or_that_of_the_scheme() {
        let port = |configured, scheme: &str| Ports { configured }.of(scheme);
        assert_eq!(
            [port(0, "http"), port(0, "https"), port(0, ""), port(8080, "https")],
            [80, 443, 80, 8080]
        );
        let all = vec!["10.0.0.2".parse().unwrap(), "::1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        let found = at_addresses(Found { all, holds: Duration::ZERO }, 80);
        assert_eq!(
            found.all.iter().map(|i| i.host.as_str()).collect::<Vec<_>>(),
            ["10.0.0.1", "10.0.0.2", "::1"]
        );
    }

    #[test]
    fn the_namespace_is_the_domain_else_that_of_the_registry() {
        let named = |name: &str, namespace: &str, domain: &str| {
            let service = Service { name: name.into(), namespace: namespace.into(), scheme: String::new() };
            let settings = Settings { namespace: domain.into(), ..Settings::default() };
            Domain::services(&settings, &Dns::default()).name(&service)
        };
        let names = [named("a", "", ""), named("a", "b.c.", "d"), named("_http._tcp.a", "", "b")];
        assert_eq!(names, ["a", "a.b.c", "_http._tcp.a.b"]);
    }
}
