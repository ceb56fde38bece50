//! What a feature of routes consists of: options in the document, a configuration compiled from them, and stages built
//! from that. Envoy calls such a feature an HTTP filter and its options the per-route configuration.
//!
//! A feature's folder implements [`Feature`] for its options and [`StageConfig`] for its configuration; one line of
//! `table.rs` places it. The floor above reads the documents, calls `compile` once per route and `build` once per plan.
//! What outlives a reload is the feature's [`StageConfig::State`].

use super::{authentication::scheme_set::SchemeSet, cache::memory_config::MemoryConfig};
use crate::{
    base::clock::Clock,
    config::{
        Diagnostics, OcelotBehavior, OcelotTolerated, Span, Spanned, codes,
        options::{GlobalGroup, Options, merge},
        values::{BoxedSetting, Setting},
    },
    net::{background::BackgroundRuntime, dns::Dns},
    pipeline::stage::{BoxStage, Stage},
    state::SharedState,
    telemetry::{Metrics, TelemetryState, trace::Tracer},
};
use std::{fmt::Debug, sync::Arc};

/// The options of a feature.
pub trait Feature: Options {
    /// The options, checked and resolved.
    type Config: StageConfig;

    /// Compiles the options that apply to a route; `None`: the route does not use the feature.
    fn compile(&self, context: &mut CompileContext) -> Option<Self::Config>;

    /// Checks options as one document sets them, before anything is inherited.
    fn check(&self, _span: Span, _origin: Origin, _gateway: &GatewayFacts, _diagnostics: &mut Diagnostics) {}
}

/// The document that sets options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Route,
    GlobalConfiguration,
}

/// The configuration of a feature on one route: plain data.
pub trait StageConfig: Clone + Debug {
    /// What outlives a reload; `()` for most.
    type State: Default + Debug;

    /// The stages of the route.
    fn build(&self, state: &Self::State, context: &BuildContext) -> Vec<BoxStage>;

    /// The stages of a route without the feature.
    fn build_absent(_state: &Self::State, _context: &BuildContext) -> Vec<BoxStage> {
        Vec::new()
    }

    /// Starts the tasks that bound the state.
    fn maintain(_state: &Self::State, _background: &BackgroundRuntime, _clock: &Clock) {}
}

/// A stage that is its own configuration: built as it is.
pub trait ConfiguredStage: Stage + Clone {}

impl<T: ConfiguredStage + 'static> StageConfig for T {
    type State = ();

    fn build(&self, (): &(), _: &BuildContext) -> Vec<BoxStage> {
        vec![Box::new(self.clone())]
    }
}

/// Facts about the whole configuration that compilers of options need.
#[derive(Clone, Debug)]
pub struct GatewayFacts {
    /// Whether Ocelot compatibility is on.
    pub ocelot: bool,
    /// Whether there is a `SharedState` section.
    pub has_shared_state: bool,
    /// Maximum bytes of a request body in `Limits`; `None`: no limit.
    pub max_body_bytes: Option<u64>,
    /// Maximum bytes of all header fields in `Limits`.
    pub max_headers_bytes: u64,
    /// Maximum number of header fields in `Limits`.
    pub max_header_count: u64,
    pub schemes: Arc<SchemeSet>,
}

/// Facts about the route whose options are compiled.
#[derive(Clone, Copy)]
pub struct RouteFacts<'c> {
    /// Where the route is in the document.
    pub span: Span,
    /// The methods as the document lists them; empty: every method.
    pub methods: &'c [Spanned<String>],
    /// The path template.
    pub client_path: &'c str,
    /// The key of the route's state across plans.
    pub state_key: &'c str,
    /// Whether callers must authenticate.
    pub is_authenticated: bool,
    /// Everything that determines which requests the route matches and what it requests of the backend.
    pub request_identity: &'c dyn Fn() -> String,
}

/// A route that Ocelot accepts at startup and cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnservableRoute {
    /// The status of every response: 404 or 500.
    pub status: u16,
    /// The reason, one sentence without a full stop.
    pub reason: String,
}

/// The context in which options are compiled.
pub struct CompileContext<'c> {
    pub gateway: &'c GatewayFacts,
    pub route: RouteFacts<'c>,
    /// Where the route sets these options.
    pub own_span: Option<Span>,
    /// Where `GlobalConfiguration` sets them.
    pub global_span: Option<Span>,
    pub diagnostics: &'c mut Diagnostics,
    /// Set under Ocelot compatibility when the options make the route unservable.
    pub unservable: &'c mut Option<UnservableRoute>,
}

impl CompileContext<'_> {
    /// Where the options are set.
    pub fn span(&self) -> Span {
        self.own_span.or(self.global_span).unwrap_or(self.route.span)
    }

    /// The value, or a diagnostic; the first status that Ocelot would respond with is retained.
    pub fn accept<T>(&mut self, span: Span, read: Result<T, OcelotTolerated>) -> Option<T> {
        let fault = match read {
            Ok(value) => return Some(value),
            Err(fault) => fault,
        };
        UnservableRoute::record(self.unservable, &fault, self.gateway.ocelot);
        fault.report(self.diagnostics, self.gateway.ocelot, span);
        None
    }

    /// An integer greater than zero.
    pub fn positive_count(&mut self, set: &Setting<i64>, name: &str) -> Option<Spanned<u64>> {
        let set = set.as_ref()?;
        if set.value < 1 {
            self.diagnostics
                .error(codes::BAD_COUNT, set.span, format!("invalid {name} {}", set.value))
                .help("must be greater than 0");
        }
        Some(Spanned::new(u64::try_from(set.value).unwrap_or(1).max(1), set.span))
    }
}

impl UnservableRoute {
    /// Retains the first status that Ocelot would respond with.
    pub fn record(first: &mut Option<UnservableRoute>, fault: &OcelotTolerated, ocelot: bool) {
        if let (OcelotBehavior::Status(status), None, true) = (fault.result, &first, ocelot) {
            *first = Some(UnservableRoute { status, reason: fault.message.clone() });
        }
    }
}

/// Compiles the options of one feature for one route, its own over the group of `GlobalConfiguration`.
pub fn compile<T: Feature>(
    own: &BoxedSetting<T>,
    (group, global): (Option<&GlobalGroup<'_, T>>, &Setting<T::Global>),
    key: Option<&str>,
    context: &mut CompileContext,
) -> Option<T::Config> {
    context.own_span = own.as_ref().filter(|own| !own.is_empty()).map(|own| own.span);
    context.global_span = global.as_ref().map(|global| global.span);
    if let Some(own) = own {
        own.check(own.span, Origin::Route, context.gateway, context.diagnostics);
    }
    merge(own, group, key)?.compile(context)
}

/// The role of a route in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteRole {
    /// It receives requests and forwards them.
    Standalone,
    /// It receives requests, and its parts forward them.
    Aggregate,
    /// It forwards requests that an aggregate received.
    AggregatePart,
}

/// The context in which stages are built.
pub struct BuildContext<'b> {
    pub ocelot: bool,
    /// The name of the route in logs and metrics.
    pub route: &'b str,
    pub role: RouteRole,
    /// Whether requests leave the gateway: neither an aggregate nor an internal service.
    pub is_proxied: bool,
    /// Maximum bytes of memory for all streaming encoders together.
    pub max_compression_memory: u64,
    pub cache_memory: &'b MemoryConfig,
    /// Whether any route caches by the rules of HTTP.
    pub has_http_cache: bool,
    pub metrics: &'b Arc<Metrics>,
    pub background: &'b BackgroundRuntime,
    pub dns: &'b Dns,
    /// The state that several gateways share.
    pub shared_state: Option<&'b Arc<SharedState>>,
    pub clock: &'b Clock,
    pub telemetry: &'b TelemetryState,
    /// Begins the traces of sampled requests.
    pub tracer: Option<Arc<Tracer>>,
}

/// The stages of one feature on one route.
pub fn build<C: StageConfig>(config: &Option<C>, state: &C::State, context: &BuildContext) -> Vec<BoxStage> {
    match config {
        Some(config) => config.build(state, context),
        None => C::build_absent(state, context),
    }
}
