//! `ServiceDiscoveryProvider`, and the same in a cluster: which registry is asked, and how.

use super::registry;
use crate::backend::discovery::{
    Service, Settings,
    kinds::{KINDS, Kind},
    settings::{Consul, Kubernetes},
};
use crate::config::document::{DiscoveryDocument, HostAndPort, List, Set, Texts};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::plan::blueprint::{
    Endpoint,
    discovery::{Found, Registry, StoreBlueprint},
};
use crate::plan::check::{Scope, filled, items, values};
use std::sync::Arc;
use std::time::Duration;

/// The type that is no registry: a reverse proxy takes the name of the service in the path.
const FABRIC: &str = "ServiceFabric";
/// Its usual port.
const FABRIC_PORT: u16 = 19081;
/// The key of the configuration, unless the document names one.
const STORE_KEY: &str = "InternalConfiguration";
/// Milliseconds between two looks.
const INTERVALS: std::ops::RangeInclusive<i32> = 10..=3_600_000;
/// The longest name of a service.
const LONGEST_NAME: usize = 253;

/// Reads the description of a registry. What is wrong with it goes to `out`; the rest stands in as a default.
pub fn registry(
    scope: &Scope,
    written: &Spanned<DiscoveryDocument>,
    out: &mut Diagnostics,
) -> Option<Registry> {
    let mut reader = Reader { written, out };
    let kind = reader.kind()?;
    let (name, reads) = kind.map_or((FABRIC, registry::FABRIC_READS), |kind| (kind.name, kind.reads));
    registry::useless(scope, written, name, reads, reader.out);
    let (tls, host, port) = (reader.tls(), reader.host(), reader.port());
    let Some(kind) = kind else {
        let port = Some(if port == 0 { FABRIC_PORT } else { port });
        return Some(Registry::Fabric(Endpoint { host, port, weight: 1 }));
    };
    let token = written.token.as_ref().map(|token| token.value.clone()).filter(|t| !t.reveal().is_empty());
    let settings = Settings {
        kind,
        tls,
        host,
        port,
        interval: reader.interval(),
        namespace: text(&written.namespace),
        consul: consul(scope, written),
        kubernetes: Kubernetes {
            in_pod: filled(&written.host).is_none() && port == 0 && token.is_none(),
            slices: written.endpoint_slices.as_ref().is_some_and(|on| on.value),
        },
        token,
        path: registry::path(written, reader.out),
        file: registry::file(scope, written, kind, written.span, reader.out),
        trust: registry::trust(scope, written, tls, reader.out),
        ocelot: scope.ocelot,
    };
    reader.plain_token(&settings);
    Some(Registry::Followed(Arc::new(settings)))
}

/// What only Consul knows.
fn consul(scope: &Scope, written: &DiscoveryDocument) -> Consul {
    Consul {
        datacenter: text(&written.datacenter),
        tags: items(&written.tags).iter().map(|tag| tag.value.clone()).collect(),
        metadata: pairs(&written.service_metadata),
        node_name: written.use_node_name.as_ref().map_or(scope.ocelot, |on| on.value),
        stale: written.stale.as_ref().is_some_and(|on| on.value),
    }
}

/// The name under which a registry knows a service.
pub fn service(
    ocelot: bool,
    name: &Spanned<String>,
    namespace: &Set<String>,
    scheme: &Set<String>,
    out: &mut Diagnostics,
) -> Service {
    let fine =
        |name: &str| name.len() <= LONGEST_NAME && name.bytes().all(is_plain) && !name.starts_with('.');
    for text in [Some(name), filled(namespace)].into_iter().flatten().filter(|text| !fine(text)) {
        let message = format!("\"{}\" is no name of a service", text.value);
        out.lenient(ocelot, codes::BAD_SERVICE_NAME, text.span, message)
            .help("write the name alone: letters, digits, dots, hyphens and underscores");
    }
    let scheme = text(scheme).to_ascii_lowercase();
    Service { name: name.value.clone(), namespace: text(namespace), scheme }
}

/// Who is asked about a service that has a name.
pub fn found(
    span: Span,
    registry: Option<&Registry>,
    scope: &Scope,
    service: Service,
    out: &mut Diagnostics,
) -> Option<Found> {
    match registry {
        Some(Registry::Followed(registry)) => {
            Some(Found { registry: registry.clone(), service, is_unnamed: false })
        }
        Some(Registry::Fabric(_)) => {
            let message = "Service Fabric is asked by routes, whose path takes the name of the service";
            out.error(codes::NO_REGISTRY, span, message).help("write ServiceName in the routes");
            None
        }
        // One that could not be read was told of.
        None if scope.global.discovery.is_some() => None,
        None => {
            let message = format!("nobody is asked where the service \"{}\" is", service.name);
            out.error(codes::NO_REGISTRY, span, message).help(
                "name a registry: \"GlobalConfiguration\": { \"ServiceDiscoveryProvider\": { \"Type\": \"Consul\" } }",
            );
            None
        }
    }
}

/// Addresses beside a name mean nothing.
pub fn addresses_too(ocelot: bool, setting: &str, written: &List<HostAndPort>, out: &mut Diagnostics) {
    let Some(list) = written.as_ref().filter(|list| !list.is_empty()) else { return };
    let message = format!("{setting} beside ServiceName: the registry says where the service is");
    out.lenient(ocelot, codes::SERVICE_AND_ADDRESSES, list.span, message).help("keep one of the two");
}

/// Where the configuration itself is kept, if not in files.
pub fn store(scope: &Scope, registry: Option<&Registry>, out: &mut Diagnostics) -> Option<StoreBlueprint> {
    let key = scope.global.discovery.as_ref().and_then(|written| filled(&written.configuration_key));
    let Some(store) = filled(&scope.document.configuration_store) else {
        if let Some(key) = key {
            let message = "a ConfigurationKey, and no ConfigurationStore that holds it";
            out.lenient(scope.ocelot, codes::USELESS_IN_REGISTRY, key.span, message)
                .help("\"ConfigurationStore\": \"Consul\" at the top level keeps the configuration there");
        }
        return None;
    };
    if !store.trim().eq_ignore_ascii_case("Consul") {
        let message = format!("there is no store \"{}\"", store.value);
        out.error(codes::UNKNOWN_STORE, store.span, message).help("write \"Consul\", or leave it out");
        return None;
    }
    let Some(Registry::Followed(registry)) = registry.filter(|registry| registry.is_consul()) else {
        let message = "the store has no address: there is no ServiceDiscoveryProvider that is a Consul";
        out.error(codes::NO_REGISTRY, store.span, message).help(
            "\"GlobalConfiguration\": { \"ServiceDiscoveryProvider\": { \"Host\": \"localhost\", \"Port\": 8500 } }",
        );
        return None;
    };
    let key = key.map_or_else(|| STORE_KEY.to_owned(), |key| key.trim().trim_matches('/').to_owned());
    Some(StoreBlueprint { registry: registry.clone(), key })
}

/// Characters that names of services have everywhere, and that mean nothing in a path.
pub fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

struct Reader<'d, 'o> {
    written: &'d Spanned<DiscoveryDocument>,
    out: &'o mut Diagnostics,
}

impl Reader<'_, '_> {
    /// The type; `Some(None)` is Service Fabric.
    fn kind(&mut self) -> Option<Option<&'static Kind>> {
        let Some(name) = filled(&self.written.kind) else { return Some(KINDS.first()) };
        let name = Spanned::new(name.trim().to_owned(), name.span);
        if name.eq_ignore_ascii_case(FABRIC) {
            return Some(None);
        }
        if let Some(kind) = Kind::of(&name) {
            return Some(Some(kind));
        }
        let message = format!("there is no ServiceDiscoveryProvider of the type \"{}\"", name.value);
        let said = self.out.error(codes::UNKNOWN_REGISTRY, name.span, message);
        let mut known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        known.push(FABRIC);
        if let Some(meant) = suggest::nearest(&name, known.iter().copied()) {
            said.help(format!("did you mean \"{meant}\"?"));
        }
        said.help(format!("the types are {}", suggest::list(&known)));
        None
    }

    fn bad(&mut self, span: Span, message: String, help: &str) {
        self.out.error(codes::BAD_REGISTRY, span, message).help(help);
    }

    fn tls(&mut self) -> bool {
        let Some(scheme) = filled(&self.written.scheme) else { return false };
        match scheme.trim().to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => {
                let message = format!("Scheme \"{other}\" is not one that a registry speaks");
                self.bad(scheme.span, message, "write \"http\" or \"https\"");
                false
            }
        }
    }

    fn host(&mut self) -> String {
        let Some(host) = filled(&self.written.host) else { return "localhost".to_owned() };
        values::host(host).unwrap_or_else(|wrong| {
            let said = self.out.error(codes::BAD_REGISTRY, host.span, wrong.message);
            said.help.extend(wrong.help);
            String::new()
        })
    }

    fn port(&mut self) -> u16 {
        let Some(port) = &self.written.port else { return 0 };
        u16::try_from(port.value).unwrap_or_else(|_| {
            let message = format!("Port {} is out of range", port.value);
            self.bad(port.span, message, "ports are 1 to 65535; 0 is the usual one of the type");
            0
        })
    }

    fn interval(&mut self) -> Option<Duration> {
        let interval = self.written.polling_interval.as_ref().filter(|interval| interval.value != 0)?;
        if !INTERVALS.contains(&interval.value) {
            let message = format!("a PollingInterval of {} ms is out of range", interval.value);
            let (least, most) = (INTERVALS.start(), INTERVALS.end());
            let help = format!("write {least} to {most} milliseconds, or 0 for the usual time");
            self.bad(interval.span, message, &help);
        }
        u64::try_from(interval.value).ok().map(Duration::from_millis)
    }

    fn plain_token(&mut self, settings: &Settings) {
        let here = settings.host.eq_ignore_ascii_case("localhost")
            || settings.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let Some(token) =
            self.written.token.as_ref().filter(|_| settings.token.is_some() && !settings.tls && !here)
        else {
            return;
        };
        let message = format!("the Token is sent to {} over plain http", settings.host);
        self.out
            .warning(codes::PLAIN_TOKEN, token.span, message)
            .help("\"Scheme\": \"https\" keeps it secret");
    }
}

fn text(set: &Set<String>) -> String {
    filled(set).map_or_else(String::new, |text| text.trim().to_owned())
}

fn pairs(texts: &Texts) -> Vec<(String, String)> {
    let all = texts.iter().flat_map(|map| map.iter());
    all.map(|(key, value)| (key.value.clone(), value.as_ref().map_or_else(String::new, |v| v.value.clone())))
        .collect()
}
