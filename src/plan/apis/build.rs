//! From the blueprint of API management to routes: clusters, breakers and counters are attached here.

use super::{
    blueprint::{ApiBlueprint, ApiService, ApisBlueprint, BackendKind, Programs},
    table::{ApiMatch, ApiQuery, ApiTable},
};
use crate::{
    backend::{
        attempt::{AttemptConfig, Http2},
        cluster::ClusterSpec,
        endpoint::{Instance, TlsMode},
    },
    net::tls::{client::ClientTls, trust::TrustAnchors},
    pipeline::{error::ErrorCode, head::Version},
    plan::{
        blueprint::{Blueprint, RouteBlueprint},
        process_state::ProcessState,
        route::Target,
    },
    stages::program::{
        Program, Section,
        backend::{Backend, Pool, PoolMember, Service, Services},
        entities::{Api, ApiOperation, Operation, Shared},
        run::{OperationTarget, RouteProgram},
        subscription::SubscriptionCheck,
        target::ServiceUrl,
        token_schemes::TokenSchemes,
    },
};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

/// The timeout of services that expressions name.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(90);

/// The APIs of a plan.
#[derive(Debug)]
pub struct PlanApis {
    pub table: Arc<ApiTable>,
    /// For each API the index of its first route; the operations follow, then the route without an operation.
    first_routes: Vec<(usize, usize)>,
    /// The route of requests whose API has no such version or revision.
    no_version: usize,
    /// The route of requests that no route and no API takes; `None`: there is no global `on-error`.
    pub no_route: Option<usize>,
    pub blueprint: Arc<ApisBlueprint<RouteBlueprint>>,
}

impl PlanApis {
    /// The index of the route of a request, and what was found.
    pub fn find(&self, query: &ApiQuery<'_>) -> Option<(usize, ApiMatch)> {
        let found = self.table.find(query)?;
        let index = match found.api.and_then(|api| self.first_routes.get(api)) {
            Some((first, count)) => first + found.operation.unwrap_or(*count),
            None => self.no_version,
        };
        Some((index, found))
    }
}

/// A route to be built.
pub struct ApiRoute {
    pub name: String,
    /// The API whose options it has; `None`: none.
    pub api: Option<usize>,
    pub program: Arc<RouteProgram>,
    pub check: Option<SubscriptionCheck>,
    /// The error in the place of a service.
    pub failure: Option<(ErrorCode, String)>,
}

/// Makes what programs share.
pub fn shared(
    apis: &ApisBlueprint<RouteBlueprint>,
    blueprint: &Blueprint,
    process_state: &ProcessState,
) -> Arc<Shared> {
    let states = process_state.programs.clone();
    let clusters = process_state.cluster_states.clone();
    let make = Box::new(move |url: &ServiceUrl, tls: &ClientTls| clusters.cluster(&cluster_spec(url, tls)));
    let terms = terms(blueprint, process_state);
    let services = Services::new(make, terms.clone(), apis.allow.clone(), apis.deny.clone());
    let tokens = TokenSchemes::new(
        states.tokens.clone(),
        process_state.background.clone(),
        process_state.clock.clone(),
    );
    Arc::new(Shared {
        deployment: apis.deployment.clone(),
        max_body_bytes: apis.max_body_bytes,
        backends: backends(apis, &terms, process_state),
        services: Arc::new(services),
        counters: states.counters.clone(),
        tokens: Arc::new(tokens),
        traces: states.traces.clone(),
        secrets: apis.secrets.clone(),
        metrics: process_state.metrics.policies.clone(),
    })
}

fn terms(blueprint: &Blueprint, process_state: &ProcessState) -> AttemptConfig {
    AttemptConfig {
        timeout: SERVICE_TIMEOUT,
        connect_timeout: blueprint.limits.connect_timeout,
        body_idle_timeout: blueprint.limits.body_idle,
        request_buffer_bytes: 0,
        buffering_memory: process_state.buffering_memory.clone(),
        max_informational: blueprint.limits.max_informational,
        preserve_host: false,
        version: Version::Http11,
        http2: Http2::Never,
        resilience: None,
    }
}

fn cluster_spec(url: &ServiceUrl, tls: &ClientTls) -> ClusterSpec {
    let tls_mode = if url.is_https { TlsMode::Always(Box::new(tls.clone())) } else { TlsMode::Plain };
    let mut hasher = DefaultHasher::new();
    tls.hash(&mut hasher);
    let host = url.host.trim_start_matches('[').trim_end_matches(']');
    ClusterSpec {
        key: format!("service {} {:016x}", url.origin(), hasher.finish()),
        label: url.authority(),
        instances: Some(vec![Instance::new(host, url.port)]),
        tls_mode,
        ..ClusterSpec::default()
    }
}

fn backends(
    apis: &ApisBlueprint<RouteBlueprint>,
    terms: &AttemptConfig,
    process_state: &ProcessState,
) -> HashMap<String, Arc<Backend>> {
    let mut all: HashMap<String, Arc<Backend>> = HashMap::new();
    for backend in &apis.backends {
        let BackendKind::Single { url, credentials, breaker, accepts_any_certificate } = &backend.kind else {
            continue;
        };
        let trust = match accepts_any_certificate {
            true => TrustAnchors::DangerousAcceptAny,
            false => TrustAnchors::default(),
        };
        let client_certificate = credentials.certificate.as_ref().map(|certificate| certificate.pair.clone());
        let tls = ClientTls { trust, client_certificate, ..ClientTls::default() };
        let service = Service {
            url: Some(url.clone()),
            cluster: process_state.cluster_states.cluster(&cluster_spec(url, &tls)),
            terms: terms.clone(),
            credentials: credentials.clone(),
            breaker: breaker.as_ref().map(|rule| process_state.programs.counters.breaker(&backend.id, rule)),
        };
        all.insert(backend.id.clone(), Arc::new(Backend::Single(service)));
    }
    for backend in &apis.backends {
        let BackendKind::Pool { members, affinity_cookie } = &backend.kind else { continue };
        let members = members.iter().filter_map(|(id, priority, weight)| {
            Some(PoolMember {
                id: id.clone(),
                priority: *priority,
                weight: *weight,
                backend: all.get(id)?.clone(),
            })
        });
        let pool = Pool::new(backend.id.clone(), members.collect(), affinity_cookie.clone());
        all.insert(backend.id.clone(), Arc::new(Backend::Pool(pool)));
    }
    all
}

/// The routes of all operations. `targets` are the clusters of the APIs; `first` is the index of the first route.
pub fn routes(
    apis: &Arc<ApisBlueprint<RouteBlueprint>>,
    shared: &Arc<Shared>,
    targets: &[Target],
    first: usize,
) -> (Vec<ApiRoute>, PlanApis) {
    let (mut routes, mut first_routes) = (Vec::new(), Vec::new());
    for (index, (api, target)) in apis.apis.iter().zip(targets).enumerate() {
        first_routes.push((first + routes.len(), api.operations.len()));
        let backend = service(api, target, shared);
        let maker = RouteMaker { index, api, apis, backend, shared };
        routes
            .extend(api.operations.iter().map(|one| maker.route(Some(one.operation.clone()), &one.programs)));
        routes.push(maker.route(None, &api.missing));
    }
    let no_version = first + routes.len();
    if !apis.apis.is_empty() {
        routes.push(unmatched(apis, shared, None));
    }
    let has_on_error =
        !apis.apis.is_empty() && !apis.unmatched.section(Section::OnError).instructions.is_empty();
    let no_route = has_on_error.then(|| first + routes.len());
    if has_on_error {
        let failure = (ErrorCode::RouteNotFound, "no route and no API matches the request".to_owned());
        routes.push(unmatched(apis, shared, Some(failure)));
    }
    let plan =
        PlanApis { table: apis.table.clone(), first_routes, no_version, no_route, blueprint: apis.clone() };
    (routes, plan)
}

struct RouteMaker<'a> {
    index: usize,
    api: &'a ApiBlueprint<RouteBlueprint>,
    apis: &'a ApisBlueprint<RouteBlueprint>,
    backend: Arc<Backend>,
    shared: &'a Arc<Shared>,
}

impl RouteMaker<'_> {
    fn route(&self, operation: Option<Arc<Operation>>, programs: &Programs) -> ApiRoute {
        let name = match &operation {
            Some(operation) => format!("{}/{}", self.api.api.id, operation.id),
            None => self.api.api.id.clone(),
        };
        let target = OperationTarget {
            operation: ApiOperation { api: self.api.api.clone(), operation, backend: self.backend.clone() },
            program: programs.plain.clone(),
            products: programs.products.clone(),
            open_product: self.api.open_product.clone(),
            shared: self.shared.clone(),
        };
        let program = Arc::new(RouteProgram::Operation(target));
        let check = SubscriptionCheck { program: program.clone(), index: self.apis.subscriptions.clone() };
        ApiRoute { name, api: Some(self.index), program, check: Some(check), failure: None }
    }
}

/// The service of an API.
fn service(api: &ApiBlueprint<RouteBlueprint>, target: &Target, shared: &Shared) -> Arc<Backend> {
    if let ApiService::Backend(id) = &api.service
        && let Some(backend) = shared.backends.get(id)
    {
        return backend.clone();
    }
    let url = match &api.service {
        ApiService::Url(url) => Some(url.clone()),
        _ => None,
    };
    match target {
        Target::Cluster { cluster, terms } => Arc::new(Backend::Single(Service {
            url,
            cluster: cluster.clone(),
            terms: terms.clone(),
            credentials: Default::default(),
            breaker: None,
        })),
        _ => Arc::new(Backend::Pool(Pool::new(String::new(), Vec::new(), None))),
    }
}

/// A route without an API: its program has only `on-error`.
fn unmatched(
    apis: &ApisBlueprint<RouteBlueprint>,
    shared: &Arc<Shared>,
    failure: Option<(ErrorCode, String)>,
) -> ApiRoute {
    let program: Arc<Program> = apis.unmatched.clone();
    let program = match failure {
        Some(_) => RouteProgram::Route { program, shared: shared.clone(), names: Box::new([]) },
        None => RouteProgram::Operation(OperationTarget {
            operation: ApiOperation {
                api: Arc::new(Api::default()),
                operation: None,
                backend: Arc::new(Backend::Pool(Pool::new(String::new(), Vec::new(), None))),
            },
            program,
            products: HashMap::new(),
            open_product: None,
            shared: shared.clone(),
        }),
    };
    ApiRoute { name: "apis".to_owned(), api: None, program: Arc::new(program), check: None, failure }
}
