//! `ServiceFabric.Resolvers`: registries and clusters, and which of them the routes use.

use super::fabric_certificates::thumbprints;
use crate::backend::fabric::{
    ResolverConfig, SourceConfig,
    address::is_loopback_host,
    cluster::ClusterSettings,
    registry::{RegistryDocument, read_registry},
};
use crate::base::url::HttpUrl;
use crate::config::ranges::RangeChecker;
use crate::config::values::{items, non_blank};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::net::tls::{client::ClientTls, pins::CertificatePins, trust::TrustAnchors};
use crate::plan::check::CheckContext;
use crate::plan::document::{ResolverDocument, ResolverType};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The resolvers of a document.
#[derive(Debug, Default)]
pub struct FabricResolvers {
    resolvers: Vec<(Spanned<String>, Option<ResolverConfig>)>,
    used: RefCell<BTreeSet<String>>,
}

impl FabricResolvers {
    /// Compiles the resolvers. Errors are reported.
    pub fn read(scope: &CheckContext, diagnostics: &mut Diagnostics) -> FabricResolvers {
        let section = scope.document.service_fabric.as_ref();
        let map = section.and_then(|section| section.resolvers.as_ref());
        let one = |(name, document): (&Spanned<String>, &Spanned<ResolverDocument>)| {
            let mut compiler = ResolverCompiler { scope, name, document, diagnostics };
            (name.clone(), compiler.resolver())
        };
        let resolvers = map.iter().flat_map(|map| map.iter()).map(one).collect();
        FabricResolvers { resolvers, used: RefCell::default() }
    }

    /// The resolver that a route names, or the only one; an unknown one is reported. `place` is where the route could name
    /// it.
    pub fn get(
        &self,
        name: Option<&Spanned<String>>,
        place: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Arc<str>, Option<&ResolverConfig>)> {
        let known: Vec<&str> = self.resolvers.iter().map(|(name, _)| name.as_str()).collect();
        let found = match name {
            Some(name) => self.resolvers.iter().find(|(known, _)| known.value == name.value),
            None if self.resolvers.len() == 1 => self.resolvers.first(),
            None => None,
        };
        let Some((name, config)) = found else {
            let message = match name {
                Some(name) => format!("unknown Resolver \"{}\"", name.value),
                None if known.is_empty() => "the document has no ServiceFabric.Resolvers".to_owned(),
                None => "Resolver is missing, and the document has several".to_owned(),
            };
            let place = name.map_or(place, |name| name.span);
            let diagnostic = diagnostics.error(codes::FABRIC_UNKNOWN_RESOLVER, place, message);
            match known.is_empty() {
                true => diagnostic.help(
                    "add one: \"ServiceFabric\": { \"Resolvers\": { \"local\": { \"Type\": \"Registry\", \"File\": \"services.json\" } } }",
                ),
                false => diagnostic.help(format!("expected {}", suggest::one_of(&known))),
            };
            return None;
        };
        self.used.borrow_mut().insert(name.value.clone());
        Some((name.as_str().into(), config.as_ref()))
    }

    /// Warns of resolvers that no route uses.
    pub fn report_unused(&self, diagnostics: &mut Diagnostics) {
        let used = self.used.borrow();
        for (name, _) in self.resolvers.iter().filter(|(name, _)| !used.contains(&name.value)) {
            let message = format!("no route uses the resolver \"{}\"", name.value);
            diagnostics.warning(codes::FABRIC_UNUSED_RESOLVER, name.span, message).help("remove it");
        }
    }

    /// The compiled resolvers.
    pub fn into_configs(self) -> Vec<ResolverConfig> {
        self.resolvers.into_iter().filter_map(|(_, config)| config).collect()
    }
}

struct ResolverCompiler<'s, 'o> {
    scope: &'s CheckContext<'s>,
    name: &'s Spanned<String>,
    document: &'s Spanned<ResolverDocument>,
    diagnostics: &'o mut Diagnostics,
}

impl ResolverCompiler<'_, '_> {
    fn error(&mut self, span: Span, message: String, help: &str) {
        self.diagnostics.error(codes::FABRIC_RESOLVER, span, message).help(help);
    }

    fn ranges(&mut self) -> RangeChecker<'_> {
        RangeChecker::for_code(codes::FABRIC_RESOLVER, self.diagnostics)
    }

    fn resolver(&mut self) -> Option<ResolverConfig> {
        let document = self.document;
        let Some(kind) = &document.kind else {
            let message = format!("the resolver \"{}\" has no Type", self.name.value);
            self.error(document.span, message, "expected \"Registry\" or \"Cluster\"");
            return None;
        };
        self.report_unused_settings(kind.value);
        let (source, is_local) = match kind.value {
            ResolverType::Registry => (self.registry()?, true),
            ResolverType::Cluster => self.cluster()?,
        };
        let is_cluster = matches!(source, SourceConfig::Cluster(_));
        let allows = document.allow_local_addresses.as_ref().map(|allows| allows.value);
        let wait_for_newer = &document.wait_for_newer;
        Some(ResolverConfig {
            name: self.name.as_str().into(),
            source,
            wait_for_newer: self.ranges().time(
                "WaitForNewer",
                wait_for_newer,
                Duration::ZERO,
                Duration::ZERO,
                MINUTE,
            ),
            is_writable: document.writable.as_ref().is_some_and(|on| on.value),
            host_map: self.host_map(),
            refuses_loopback: is_cluster && !allows.unwrap_or(is_local),
            refuses_link_local: is_cluster && !allows.unwrap_or(false),
        })
    }

    /// Settings that only the other type uses.
    fn report_unused_settings(&mut self, kind: ResolverType) {
        let set = &self.document.value;
        let registry = [
            ("File", set.file.as_ref().map(|set| set.span)),
            ("Writable", set.writable.as_ref().map(|set| set.span)),
            ("WaitForNewer", set.wait_for_newer.as_ref().map(|set| set.span)),
        ];
        let cluster = [
            ("Endpoints", set.endpoints.as_ref().map(|set| set.span)),
            ("ApiVersion", set.api_version.as_ref().map(|set| set.span)),
            ("TlsOptions", set.tls.as_ref().map(|set| set.span)),
            ("ServerThumbprints", set.server_thumbprints.as_ref().map(|set| set.span)),
            ("Token", set.token.as_ref().map(|set| set.span)),
            ("RefreshInterval", set.refresh_interval.as_ref().map(|set| set.span)),
            ("ResolveTimeout", set.resolve_timeout.as_ref().map(|set| set.span)),
            ("MaxAge", set.max_age.as_ref().map(|set| set.span)),
            ("StaleIfError", set.stale_if_error.as_ref().map(|set| set.span)),
            ("AllowLocalAddresses", set.allow_local_addresses.as_ref().map(|set| set.span)),
        ];
        let (name, others): (&str, &[_]) = match kind {
            ResolverType::Registry => ("Registry", &cluster),
            ResolverType::Cluster => ("Cluster", &registry),
        };
        for (setting, span) in others {
            if let Some(span) = span {
                let message = format!("{setting} has no effect with a resolver of type {name}");
                self.error(*span, message, "remove it");
            }
        }
    }

    fn registry(&mut self) -> Option<SourceConfig> {
        let Some(name) = non_blank(&self.document.file) else {
            let message = format!("the registry \"{}\" has no File", self.name.value);
            self.error(
                self.document.span,
                message,
                "set the JSON file that lists services and their replicas",
            );
            return None;
        };
        let read =
            self.scope.attached.map_or(Err("it has not been read"), |attached| attached.get(name.span));
        let text = match read {
            Ok(text) => text,
            Err(why) => {
                let message = format!("the registry file \"{}\" cannot be read: {why}", name.value);
                self.diagnostics.error(codes::FABRIC_REGISTRY, name.span, message).help("create the file");
                return None;
            }
        };
        let document = self.registry_document(name, text)?;
        let folder = self.scope.sources.get(name.span.file).and_then(|source| source.path.as_deref());
        let folder = folder.and_then(Path::parent);
        let file = folder.map_or_else(|| PathBuf::from(name.trim()), |folder| folder.join(name.trim()));
        Some(SourceConfig::Registry { file, document: Arc::new(document) })
    }

    fn registry_document(&mut self, name: &Spanned<String>, text: &[u8]) -> Option<RegistryDocument> {
        let (document, faults) = read_registry(text);
        for fault in faults {
            let separator = if fault.place.is_empty() { "" } else { ": " };
            let message = format!("{}: {}{separator}{}", name.value, fault.place, fault.message);
            match fault.is_error {
                true => self.diagnostics.error(codes::FABRIC_REGISTRY, name.span, message),
                false => self.diagnostics.warning(codes::FABRIC_REGISTRY_DOUBT, name.span, message),
            };
        }
        document
    }

    /// The cluster, and whether its gateway is on this machine.
    fn cluster(&mut self) -> Option<(SourceConfig, bool)> {
        let endpoints = self.endpoints();
        let is_local = !endpoints.is_empty() && endpoints.iter().all(|url| is_loopback_host(&url.host));
        let document = self.document;
        let tls = self.tls(&endpoints);
        self.warn_plain_credentials(&endpoints);
        let api_version = self.api_version();
        let token = document.token.as_ref().map(|set| set.value.clone());
        let token = token.filter(|token| !token.reveal().is_empty());
        let mut ranges = self.ranges();
        let settings = ClusterSettings {
            refresh_interval: ranges.time(
                "RefreshInterval",
                &document.refresh_interval,
                10 * SECOND,
                SECOND,
                HOUR,
            ),
            resolve_timeout: ranges.time(
                "ResolveTimeout",
                &document.resolve_timeout,
                10 * SECOND,
                SECOND / 10,
                MINUTE,
            ),
            max_age: ranges.time("MaxAge", &document.max_age, MINUTE, SECOND, HOUR),
            stale_if_error: ranges.time(
                "StaleIfError",
                &document.stale_if_error,
                HOUR,
                Duration::ZERO,
                24 * HOUR,
            ),
            token,
            endpoints,
            api_version,
            tls,
        };
        (!settings.endpoints.is_empty()).then_some((SourceConfig::Cluster(settings), is_local))
    }

    fn endpoints(&mut self) -> Vec<HttpUrl> {
        let document = self.document;
        if items(&document.endpoints).is_empty() {
            let place = document.endpoints.as_ref().map_or(document.span, |list| list.span);
            let message = format!("the cluster \"{}\" has no Endpoints", self.name.value);
            self.error(place, message, "expected [\"https://cluster.example:19080\"]");
        }
        let mut urls = Vec::new();
        for text in items(&document.endpoints) {
            match HttpUrl::parse(text.trim()) {
                Ok(url) if !url.target.contains('?') => urls.push(url),
                Ok(_) => {
                    self.error(text.span, "invalid endpoint: it has a query".to_owned(), "remove the query");
                }
                Err(why) => {
                    let message = format!("invalid endpoint \"{}\": {why}", text.value);
                    self.error(text.span, message, "expected http(s)://host:port");
                }
            }
        }
        urls
    }

    fn tls(&mut self, endpoints: &[HttpUrl]) -> ClientTls {
        let document = self.document;
        let mut tls = document.tls.as_ref().map_or_else(ClientTls::default, |options| {
            options.client_tls(self.scope.attached, self.diagnostics)
        });
        let pins = thumbprints(items(&document.server_thumbprints), codes::FABRIC_RESOLVER, self.diagnostics);
        if !pins.is_empty() {
            tls.trust = TrustAnchors::Pinned(Arc::new(CertificatePins::Thumbprints(pins.into())));
        }
        let pinned = document.server_thumbprints.as_ref().filter(|_| !endpoints.iter().any(|url| url.tls));
        if let Some(set) = pinned {
            let message = "ServerThumbprints has no effect: no endpoint uses https".to_owned();
            self.error(set.span, message, "use https://, or remove it");
        }
        tls
    }

    fn warn_plain_credentials(&mut self, endpoints: &[HttpUrl]) {
        let document = self.document;
        let credentials = [
            ("Token", document.token.as_ref().map(|set| set.span)),
            ("TlsOptions", document.tls.as_ref().map(|set| set.span)),
        ];
        let plain = endpoints.iter().find(|url| !url.tls && !is_loopback_host(&url.host));
        for (setting, span) in credentials {
            if let (Some(span), Some(url)) = (span, plain) {
                let message =
                    format!("{setting} does not protect requests to {url}, which are sent without TLS");
                self.diagnostics.warning(codes::FABRIC_PLAIN_CREDENTIALS, span, message).help("use https://");
            }
        }
    }

    /// Lists of earlier versions have numbers instead of names.
    fn api_version(&mut self) -> String {
        let Some(version) = non_blank(&self.document.api_version) else { return "6.0".to_owned() };
        let bare = version.strip_suffix("-preview").unwrap_or(version);
        let is_valid = matches!(bare.as_bytes(), [b'3'..=b'9', b'.', b'0'..=b'9']);
        if !is_valid {
            let message = format!("invalid ApiVersion \"{}\"", version.value);
            self.error(version.span, message, "must be between 3.0 and 9.9, such as \"6.0\"");
        }
        version.value.clone()
    }

    fn host_map(&mut self) -> std::collections::BTreeMap<Box<str>, Box<str>> {
        let entries = self.document.host_map.iter().flat_map(|map| map.iter());
        let mut map = std::collections::BTreeMap::new();
        for (host, target) in entries {
            let target = target.as_ref().map(|target| target.trim()).filter(|target| !target.is_empty());
            match target {
                Some(target) => drop(map.insert(host.as_str().into(), target.into())),
                None => {
                    let message = format!("the host \"{}\" has no target", host.value);
                    self.diagnostics
                        .error(codes::FABRIC_RESOLVER, host.span, message)
                        .help("set the host or the IP address to connect to");
                }
            }
        }
        map
    }
}
