//! `Realtime` and `HubServices`.

use super::{
    blueprint::{HubServiceBlueprint, HubsBlueprint},
    documents::{BackplaneDocument, HubDocument, HubServiceDocument, HubServiceType, RealtimeDocument},
    find_cluster::FindCluster,
    hub::{HubCompiler, is_valid_name},
};
use crate::base::{secret::Secret, url::HttpUrl};
use crate::config::{Diagnostics, Spanned, codes, ranges::RangeChecker, suggest};
use crate::plan::blueprint::ClusterBlueprint;
use crate::plan::check::{CheckContext, items, non_blank};
use crate::realtime::config::{RealtimeConfig, ServiceConfig, ServiceType};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Fewest bytes of a key.
const MIN_KEY_BYTES: usize = 32;
/// Most bytes of queues.
const MAX_QUEUE_BYTES: u64 = 1 << 40;
/// Longest name of a node.
const MAX_NODE_NAME_BYTES: usize = 32;

/// Compiles both sections.
pub fn compile(
    scope: &CheckContext,
    find_cluster: &FindCluster,
    diagnostics: &mut Diagnostics,
) -> HubsBlueprint {
    let nothing = RealtimeDocument::default();
    let document = scope.document.realtime.as_ref().map_or(&nothing, |set| &set.value);
    let is_shared = is_shared(document, scope.document.shared_state.is_some(), diagnostics);
    let realtime = RealtimeConfig { is_shared, ..realtime(document, diagnostics) };
    let services = scope.document.hub_services.iter().flat_map(|map| map.iter());
    let services = services
        .filter_map(|(name, document)| {
            let mut compiler = ServiceCompiler { scope, find_cluster, diagnostics };
            compiler.service(name, document)
        })
        .collect();
    HubsBlueprint { realtime, services }
}

/// Whether other nodes are reached over the shared state.
fn is_shared(document: &RealtimeDocument, has_shared_state: bool, diagnostics: &mut Diagnostics) -> bool {
    match &document.backplane {
        None => has_shared_state,
        Some(Spanned { value: BackplaneDocument::Local, .. }) => false,
        Some(set) => {
            if !has_shared_state {
                diagnostics
                    .error(
                        codes::NO_HUB_BACKPLANE,
                        set.span,
                        "Backplane is Shared, and there is no SharedState",
                    )
                    .help("add SharedState, or set Backplane to Local");
            }
            has_shared_state
        }
    }
}

fn realtime(document: &RealtimeDocument, diagnostics: &mut Diagnostics) -> RealtimeConfig {
    let default = RealtimeConfig::default();
    let node_name = non_blank(&document.node_name).map(|name| {
        let is_valid = name.len() <= MAX_NODE_NAME_BYTES
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_valid {
            diagnostics
                .error(codes::BAD_NODE_NAME, name.span, format!("invalid NodeName \"{}\"", name.value))
                .help("must be 1 to 32 letters, digits and _");
        }
        name.value.as_str().into()
    });
    let Some(limits) = &document.limits else { return RealtimeConfig { node_name, ..default } };
    let mut ranges = RangeChecker::for_code(codes::HUB_RANGE, diagnostics);
    let max_connections = ranges.count("MaxConnections", &limits.max_connections, i64::MAX as u64);
    RealtimeConfig {
        node_name,
        is_shared: false,
        max_connections: max_connections.map(|count| count as usize),
        max_queue_bytes: ranges.size(
            "MaxQueueMemory",
            &limits.max_queue_memory,
            default.max_queue_bytes as u64,
            1 << 20,
            MAX_QUEUE_BYTES,
        ),
    }
}

struct ServiceCompiler<'c, 'd, 'o> {
    scope: &'c CheckContext<'d>,
    find_cluster: &'c FindCluster<'c>,
    diagnostics: &'o mut Diagnostics,
}

impl ServiceCompiler<'_, '_, '_> {
    fn service(
        &mut self,
        name: &Spanned<String>,
        document: &Spanned<HubServiceDocument>,
    ) -> Option<HubServiceBlueprint> {
        let service_type = match &document.service_type {
            Some(Spanned { value: HubServiceType::WebPubSub, .. }) => ServiceType::WebPubSub,
            Some(Spanned { value: HubServiceType::SignalR, .. }) => ServiceType::SignalR,
            None => {
                self.diagnostics
                    .error(codes::HUB_SERVICE_INCOMPLETE, document.span, "the hub service has no Type")
                    .help("set \"Type\": \"WebPubSub\" or \"SignalR\"");
                ServiceType::WebPubSub
            }
        };
        let mut backends = Vec::new();
        let (hubs, other_hubs) = self.hubs((name, service_type), document, &mut backends);
        let mut ranges = RangeChecker::for_code(codes::HUB_RANGE, self.diagnostics);
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        let clock_skew = ranges.time("ClockSkew", &document.clock_skew, minute, Duration::ZERO, hour);
        let config = ServiceConfig {
            name: name.value.as_str().into(),
            service_type,
            keys: self.keys(document),
            public_urls: self.public_urls(document),
            clock_skew,
            server_schemes: self.server_schemes(document),
            hubs,
            other_hubs,
        };
        let schemes = &self.scope.gateway.schemes;
        let server_schemes = config.server_schemes.iter().filter_map(|name| schemes.get(name).cloned());
        Some(HubServiceBlueprint {
            server_schemes: server_schemes.collect(),
            config: Arc::new(config),
            backends,
            span: document.span,
        })
    }

    fn keys(&mut self, document: &Spanned<HubServiceDocument>) -> Vec<Secret> {
        let keys = items(&document.keys);
        if !(1..=2).contains(&keys.len()) {
            let span = document.keys.as_ref().map_or(document.span, |list| list.span);
            let message = format!("the hub service has {} Keys", keys.len());
            self.diagnostics
                .error(codes::BAD_HUB_KEY, span, message)
                .help("set one or two secrets of at least 32 bytes: \"Keys\": [\"${HUB_KEY}\"]");
        }
        for key in keys.iter().filter(|key| key.len() < MIN_KEY_BYTES) {
            let message = format!("the key has {} bytes", key.len());
            self.diagnostics
                .error(codes::BAD_HUB_KEY, key.span, message)
                .help("must have at least 32 bytes: openssl rand -base64 33");
        }
        if let [first, second, ..] = keys
            && first.value == second.value
        {
            self.diagnostics
                .error(codes::BAD_HUB_KEY, second.span, "both keys are identical")
                .help("remove one, or set another key for the rotation");
        }
        keys.iter().map(|key| Secret::new(key.value.clone())).collect()
    }

    fn public_urls(&mut self, document: &Spanned<HubServiceDocument>) -> Vec<HttpUrl> {
        let urls = items(&document.public_urls);
        if urls.is_empty() {
            self.diagnostics
                .warning(codes::NO_PUBLIC_URLS, document.span, "the hub service has no PublicUrls")
                .help("tokens for any host are accepted; set the address that clients use: \"PublicUrls\": [\"https://rt.example.com\"]");
        }
        let mut parsed = Vec::with_capacity(urls.len());
        for url in urls {
            let problem = match HttpUrl::parse(url) {
                Ok(value) if !value.target.contains('?') => {
                    parsed.push(value);
                    continue;
                }
                Ok(_) => "it has a query",
                Err(problem) => problem,
            };
            self.diagnostics
                .error(codes::BAD_PUBLIC_URL, url.span, format!("invalid PublicUrls entry \"{}\": {problem}", url.value))
                .help("must be an absolute http or https URL, such as https://rt.example.com or https://example.com/rt");
        }
        parsed
    }

    /// Schemes that the document has, of the right type.
    fn server_schemes(&mut self, document: &HubServiceDocument) -> Vec<String> {
        let schemes = self.scope.document.authentication_schemes.as_ref();
        let names: Vec<&str> =
            schemes.iter().flat_map(|map| map.iter()).map(|(name, _)| name.value.as_str()).collect();
        for name in items(&document.server_schemes) {
            let scheme = schemes.and_then(|map| map.get(name));
            let is_jwt = scheme.is_some_and(|scheme| {
                non_blank(&scheme.kind).is_some_and(|kind| kind.eq_ignore_ascii_case("JwtBearer"))
            });
            if is_jwt {
                continue;
            }
            let message = match scheme {
                Some(_) => format!("the scheme \"{}\" is not of the type JwtBearer", name.value),
                None => format!("unknown authentication scheme \"{}\"", name.value),
            };
            let diagnostic = self.diagnostics.error(codes::BAD_SERVER_SCHEME, name.span, message);
            if let Some(meant) = suggest::closest_match(name, names.iter().copied()) {
                diagnostic.help(format!("did you mean \"{meant}\"?"));
            }
            diagnostic.help("must be the name of one of AuthenticationSchemes of the type JwtBearer");
        }
        items(&document.server_schemes).iter().map(|name| name.value.clone()).collect()
    }

    #[expect(clippy::type_complexity, reason = "the hubs with entries, and the others")]
    fn hubs(
        &mut self,
        service: (&Spanned<String>, ServiceType),
        document: &Spanned<HubServiceDocument>,
        backends: &mut Vec<Arc<ClusterBlueprint>>,
    ) -> (
        BTreeMap<Box<str>, Arc<crate::realtime::config::HubConfig>>,
        Option<Arc<crate::realtime::config::HubConfig>>,
    ) {
        let (mut hubs, mut other_hubs) = (BTreeMap::new(), None);
        let written = document.hubs.iter().flat_map(|map| map.iter());
        if document.hubs.as_ref().is_none_or(|map| map.is_empty()) {
            let span = document.hubs.as_ref().map_or(document.span, |map| map.span);
            self.diagnostics
                .error(codes::HUB_SERVICE_INCOMPLETE, span, "the hub service has no Hubs")
                .help("name the hubs, or accept all: \"Hubs\": { \"*\": {} }");
        }
        for (name, hub) in written {
            let config = Arc::new(self.hub(service, name, hub, backends));
            match name.value.as_str() {
                "*" => other_hubs = Some(config),
                _ => {
                    hubs.insert(name.value.to_ascii_lowercase().into(), config);
                }
            }
        }
        (hubs, other_hubs)
    }

    fn hub(
        &mut self,
        (service, service_type): (&Spanned<String>, ServiceType),
        name: &Spanned<String>,
        document: &Spanned<HubDocument>,
        backends: &mut Vec<Arc<ClusterBlueprint>>,
    ) -> crate::realtime::config::HubConfig {
        if name.value != "*" && !is_valid_name(name) {
            self.diagnostics
                .error(codes::BAD_HUB_NAME, name.span, format!("invalid hub name \"{}\"", name.value))
                .help("must be a letter, then up to 127 letters, digits and _`,.[], or \"*\"");
        }
        let mut compiler = HubCompiler {
            service,
            service_type,
            find_cluster: self.find_cluster,
            backends,
            diagnostics: self.diagnostics,
        };
        compiler.compile(document)
    }
}
