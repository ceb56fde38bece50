//! `ServiceDiscoveryProvider`, and the same in a cluster: which registry is used, and its settings.

use super::provider_settings;
use crate::backend::discovery::{
    ProviderKind, ProviderSettings, Service,
    consul::ConsulSettings,
    dns::{DnsSettings, RecordType},
    eureka::EurekaSettings,
    file::FileSettings,
    kubernetes::{KubernetesKind, KubernetesSettings},
    settings::ServerSettings,
};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::plan::blueprint::{
    Endpoint,
    discovery::{DiscoveredService, Registry, StoreBlueprint},
};
use crate::plan::check::{CheckContext, items, non_blank, values};
use crate::plan::document::{DiscoveryDocument, HostAndPort, List, Setting, StringList};
use std::sync::Arc;
use std::time::Duration;

/// The type that is not a registry: its reverse proxy takes the name of the service in the path.
const SERVICE_FABRIC: &str = "ServiceFabric";
/// The default port of that proxy.
const FABRIC_PORT: u16 = 19081;
/// The default key of the configuration.
const STORE_KEY: &str = "InternalConfiguration";
/// Range of the polling interval, in milliseconds.
const INTERVALS: std::ops::RangeInclusive<i32> = 10..=3_600_000;
/// Maximum length of a service name.
const MAX_SERVICE_NAME: usize = 253;

/// Compiles the settings of a registry. Errors are reported, and the defaults replace invalid values.
pub fn registry(
    scope: &CheckContext,
    document: &Spanned<DiscoveryDocument>,
    diagnostics: &mut Diagnostics,
) -> Option<Registry> {
    let mut reader = DiscoveryCompiler { document, diagnostics };
    let kind = reader.kind()?;
    let (name, reads) = kind.map_or((SERVICE_FABRIC, provider_settings::SERVICE_FABRIC_SETTINGS), |kind| {
        (kind.name(), kind.settings())
    });
    provider_settings::report_unused(scope, document, name, reads, reader.diagnostics);
    let (tls, host, port) = (reader.tls(), reader.host(), reader.port());
    let Some(kind) = kind else {
        let port = Some(if port == 0 { FABRIC_PORT } else { port });
        return Some(Registry::ServiceFabric(Endpoint { host, port, weight: 1 }));
    };
    let token = document.token.as_ref().map(|token| token.value.clone()).filter(|t| !t.reveal().is_empty());
    let trust = provider_settings::trust_anchors(scope, document, tls, reader.diagnostics);
    let server = ServerSettings { tls, host, port, token, trust };
    reader.warn_plaintext_token(&server);
    let settings = reader.provider(scope, kind, server);
    Some(Registry::Provider(Arc::new(settings)))
}

/// The settings of Consul: those that all providers share, and its own.
fn consul(scope: &CheckContext, document: &DiscoveryDocument, server: ServerSettings) -> ConsulSettings {
    ConsulSettings {
        server,
        namespace: text(&document.namespace),
        datacenter: text(&document.datacenter),
        tags: items(&document.tags).iter().map(|tag| tag.value.clone()).collect(),
        metadata: pairs(&document.service_metadata),
        node_name: document.use_node_name.as_ref().map_or(scope.ocelot, |on| on.value),
        allow_stale: document.stale.as_ref().is_some_and(|on| on.value),
        ocelot: scope.ocelot,
        ..ConsulSettings::default()
    }
}

/// The name of a service in a registry.
pub fn service(
    ocelot: bool,
    name: &Spanned<String>,
    namespace: &Setting<String>,
    scheme: &Setting<String>,
    diagnostics: &mut Diagnostics,
) -> Service {
    let fine = |name: &str| {
        name.len() <= MAX_SERVICE_NAME && name.bytes().all(is_plain_http) && !name.starts_with('.')
    };
    for text in [Some(name), non_blank(namespace)].into_iter().flatten().filter(|text| !fine(text)) {
        let message = format!("invalid service name \"{}\"", text.value);
        diagnostics
            .error_or_ocelot_warning(ocelot, codes::BAD_SERVICE_NAME, text.span, message)
            .help("must consist of letters, digits, dots, hyphens and underscores");
    }
    let scheme = text(scheme).to_ascii_lowercase();
    Service { name: name.value.clone(), namespace: text(namespace), scheme }
}

/// The registry of a service that has a name.
pub fn discovery(
    span: Span,
    registry: Option<&Registry>,
    scope: &CheckContext,
    service: Service,
    diagnostics: &mut Diagnostics,
) -> Option<DiscoveredService> {
    match registry {
        Some(Registry::Provider(registry)) => {
            Some(DiscoveredService { registry: registry.clone(), service, is_unnamed: false })
        }
        Some(Registry::ServiceFabric(_)) => {
            let message =
                "Service Fabric can be used by routes only, whose path contains the name of the service";
            diagnostics.error(codes::NO_REGISTRY, span, message).help("set ServiceName in the routes");
            None
        }
        // An invalid registry has been reported already.
        None if scope.global.discovery.is_some() => None,
        None => {
            let message = format!("no registry for the service \"{}\"", service.name);
            diagnostics.error(codes::NO_REGISTRY, span, message).help(
                "set one: \"GlobalConfiguration\": { \"ServiceDiscoveryProvider\": { \"Type\": \"Consul\" } }",
            );
            None
        }
    }
}

/// Addresses next to a service name have no effect.
pub fn report_unused_addresses(
    ocelot: bool,
    setting: &str,
    values: &List<HostAndPort>,
    diagnostics: &mut Diagnostics,
) {
    let Some(list) = values.as_ref().filter(|list| !list.is_empty()) else { return };
    let message = format!("{setting} has no effect with ServiceName: the registry lists the endpoints");
    diagnostics
        .error_or_ocelot_warning(ocelot, codes::SERVICE_AND_ADDRESSES, list.span, message)
        .help("remove one of the two");
}

/// The configuration store, if the configuration is not in files.
pub fn store(
    scope: &CheckContext,
    registry: Option<&Registry>,
    diagnostics: &mut Diagnostics,
) -> Option<StoreBlueprint> {
    let key = scope.global.discovery.as_ref().and_then(|document| non_blank(&document.configuration_key));
    let Some(store) = non_blank(&scope.document.configuration_store) else {
        if let Some(key) = key {
            let message = "ConfigurationKey without ConfigurationStore";
            diagnostics
                .error_or_ocelot_warning(scope.ocelot, codes::USELESS_IN_REGISTRY, key.span, message)
                .help("set \"ConfigurationStore\": \"Consul\" at the top level");
        }
        return None;
    };
    if !store.trim().eq_ignore_ascii_case("Consul") {
        let message = format!("unknown ConfigurationStore \"{}\"", store.value);
        diagnostics.error(codes::UNKNOWN_STORE, store.span, message).help("set \"Consul\", or remove it");
        return None;
    }
    let consul = registry.and_then(|registry| match registry {
        Registry::Provider(settings) => match &**settings {
            ProviderSettings::Consul(consul) => Some(consul.clone()),
            _ => None,
        },
        Registry::ServiceFabric(_) => None,
    });
    let Some(consul) = consul else {
        let message = "the store has no address: ServiceDiscoveryProvider is not Consul";
        diagnostics.error(codes::NO_REGISTRY, store.span, message).help(
            "\"GlobalConfiguration\": { \"ServiceDiscoveryProvider\": { \"Host\": \"localhost\", \"Port\": 8500 } }",
        );
        return None;
    };
    let key = key.map_or_else(|| STORE_KEY.to_owned(), |key| key.trim().trim_matches('/').to_owned());
    Some(StoreBlueprint { consul, key })
}

/// Characters that service names have everywhere, and that have no meaning in a path.
pub fn is_plain_http(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

struct DiscoveryCompiler<'d, 'o> {
    document: &'d Spanned<DiscoveryDocument>,
    diagnostics: &'o mut Diagnostics,
}

impl DiscoveryCompiler<'_, '_> {
    /// The type; `Some(None)` is Service Fabric.
    fn kind(&mut self) -> Option<Option<ProviderKind>> {
        let Some(name) = non_blank(&self.document.kind) else { return Some(Some(ProviderKind::DEFAULT)) };
        let name = Spanned::new(name.trim().to_owned(), name.span);
        if name.eq_ignore_ascii_case(SERVICE_FABRIC) {
            return Some(None);
        }
        if let Some(kind) = ProviderKind::by_name(&name) {
            return Some(Some(kind));
        }
        let message = format!("unknown ServiceDiscoveryProvider type \"{}\"", name.value);
        let diagnostic = self.diagnostics.error(codes::UNKNOWN_REGISTRY, name.span, message);
        let mut known: Vec<_> = ProviderKind::names().collect();
        known.push(SERVICE_FABRIC);
        if let Some(meant) = suggest::closest_match(&name, known.iter().copied()) {
            diagnostic.help(format!("did you mean \"{meant}\"?"));
        }
        diagnostic.help(format!("expected {}", suggest::one_of(&known)));
        None
    }

    fn report(&mut self, span: Span, message: String, help: &str) {
        self.diagnostics.error(codes::BAD_REGISTRY, span, message).help(help);
    }

    fn tls(&mut self) -> bool {
        let Some(scheme) = non_blank(&self.document.scheme) else { return false };
        match scheme.trim().to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => {
                let message = format!("unknown Scheme \"{other}\" of a registry");
                self.report(scheme.span, message, "expected \"http\" or \"https\"");
                false
            }
        }
    }

    fn host(&mut self) -> String {
        let Some(host) = non_blank(&self.document.host) else { return "localhost".to_owned() };
        values::host(host).unwrap_or_else(|error| {
            let diagnostic = self.diagnostics.error(codes::BAD_REGISTRY, host.span, error.message);
            diagnostic.help.extend(error.help);
            String::new()
        })
    }

    fn port(&mut self) -> u16 {
        let Some(port) = &self.document.port else { return 0 };
        u16::try_from(port.value).unwrap_or_else(|_| {
            let message = format!("Port {} is out of range", port.value);
            self.report(port.span, message, "must be between 1 and 65535, or 0 for the default of the type");
            0
        })
    }

    fn interval(&mut self) -> Option<Duration> {
        let interval = self.document.polling_interval.as_ref().filter(|interval| interval.value != 0)?;
        if !INTERVALS.contains(&interval.value) {
            let message = format!("PollingInterval {} ms is out of range", interval.value);
            let (min, max) = (INTERVALS.start(), INTERVALS.end());
            let help = format!("must be between {min} and {max} milliseconds, or 0 for the default");
            self.report(interval.span, message, &help);
        }
        u64::try_from(interval.value).ok().map(Duration::from_millis)
    }

    /// The settings of the provider: those that all providers share, and its own.
    fn provider(
        &mut self,
        scope: &CheckContext,
        kind: ProviderKind,
        server: ServerSettings,
    ) -> ProviderSettings {
        let (interval, namespace) = (self.interval(), text(&self.document.namespace));
        match kind {
            ProviderKind::Consul | ProviderKind::PollConsul => {
                let polls = kind == ProviderKind::PollConsul;
                ProviderSettings::Consul(ConsulSettings {
                    polls,
                    interval,
                    ..consul(scope, self.document, server)
                })
            }
            ProviderKind::Kube | ProviderKind::PollKube | ProviderKind::WatchKube => {
                ProviderSettings::Kubernetes(self.kubernetes(scope, kind, server, interval))
            }
            ProviderKind::Eureka => {
                let path = provider_settings::path(self.document, self.diagnostics);
                ProviderSettings::Eureka(EurekaSettings { server, interval, path })
            }
            ProviderKind::Dns => {
                let records = RecordType::Address { port: server.port };
                ProviderSettings::Dns(DnsSettings { records, domain: namespace, interval })
            }
            ProviderKind::DnsSrv => {
                let records = RecordType::Srv;
                ProviderSettings::Dns(DnsSettings { records, domain: namespace, interval })
            }
            ProviderKind::File => {
                let path = provider_settings::file(scope, self.document, self.diagnostics);
                ProviderSettings::File(FileSettings { path, interval })
            }
        }
    }

    fn kubernetes(
        &self,
        scope: &CheckContext,
        kind: ProviderKind,
        server: ServerSettings,
        interval: Option<Duration>,
    ) -> KubernetesSettings {
        let has_address = non_blank(&self.document.host).is_some() || server.port != 0;
        KubernetesSettings {
            kind: match kind {
                ProviderKind::PollKube => KubernetesKind::Poll,
                ProviderKind::WatchKube => KubernetesKind::Watch,
                _ => KubernetesKind::Kube,
            },
            use_service_account: !has_address && server.token.is_none(),
            server,
            interval,
            namespace: text(&self.document.namespace),
            endpoint_slices: self.document.endpoint_slices.as_ref().is_some_and(|on| on.value),
            ocelot: scope.ocelot,
        }
    }

    fn warn_plaintext_token(&mut self, settings: &ServerSettings) {
        let here = settings.host.eq_ignore_ascii_case("localhost")
            || settings.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let Some(token) =
            self.document.token.as_ref().filter(|_| settings.token.is_some() && !settings.tls && !here)
        else {
            return;
        };
        let message = format!("the Token is sent to {} over plain http", settings.host);
        self.diagnostics.warning(codes::PLAIN_TOKEN, token.span, message).help("set \"Scheme\": \"https\"");
    }
}

fn text(set: &Setting<String>) -> String {
    non_blank(set).map_or_else(String::new, |text| text.trim().to_owned())
}

fn pairs(texts: &StringList) -> Vec<(String, String)> {
    let all = texts.iter().flat_map(|map| map.iter());
    all.map(|(key, value)| (key.value.clone(), value.as_ref().map_or_else(String::new, |v| v.value.clone())))
        .collect()
}
