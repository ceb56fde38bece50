//! A route to services: its settings, and what a request asks for.

use super::{
    address::EndpointScheme,
    choice::{EndpointRule, Selector},
    error::{ResolveError, fabric_code, fabric_error},
    name::{NameFilter, after_segments, begins_with_name, name_segments},
    partition::{PartitionInfo, PartitionKey, fnv1a64, parse_int64},
    request::{AddressError, ContractRules, parse_query},
    resolver::{Resolver, ServiceMatch, ServiceQuery},
    transport::Transports,
    value_template::{ValuePart, ValueTemplate},
};
use crate::{
    backend::attempt::AttemptConfig,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
    },
    telemetry::{ClusterMetrics, FabricRouteMetrics},
};
use smallvec::SmallVec;
use std::{sync::Arc, time::Duration};

/// How a route finds the name and the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// By the URL contract.
    ByAddress { filter: NameFilter, contract: ContractRules },
    /// By the settings of the route.
    ByRoute { service: ValueTemplate, key: KeySource, listener: Option<Box<str>>, selector: Option<Selector> },
}

/// The key of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    None,
    Int64(ValueTemplate),
    /// The FNV-1a hash of the text.
    Hashed(ValueTemplate),
    Named(ValueTemplate),
}

/// When a status is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[schemars(inline)]
pub enum StatusRule {
    Always,
    Never,
    /// Unless the response has `X-ServiceFabric: ResourceNotFound`.
    UnlessResourceNotFound,
}

/// The response when no more attempts are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[schemars(inline)]
pub enum WhenExhausted {
    /// The last response of a service, or the last error.
    #[default]
    LastAnswer,
    /// 504.
    Timeout,
}

/// The settings of a route to services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FabricConfig {
    pub addressing: Addressing,
    /// The whole time of a request without `Timeout`.
    pub timeout: Duration,
    pub max_timeout: Duration,
    /// `None`: without limit.
    pub max_attempts: Option<u32>,
    pub min_backoff: Duration,
    pub max_backoff: Duration,
    /// For 404, 410 and 503.
    pub status_rules: [StatusRule; 3],
    pub when_exhausted: WhenExhausted,
    /// `None`: http for clients without TLS, both for those with it.
    pub schemes: Option<(bool, bool)>,
    pub assumed_scheme: Option<EndpointScheme>,
    pub forwards_certificate: bool,
    pub removed_response_headers: Box<[Box<str>]>,
    /// Sends the segments that the name took as `X-Forwarded-Prefix`.
    pub adds_prefix: bool,
    /// The original to the letter: pauses, no second attempt after the head was sent, errors without bodies.
    pub is_strict: bool,
}

/// What follows the base of an endpoint in the URL that is sent; usually short.
pub type Suffix = SmallVec<[u8; 64]>;

/// A route to services.
#[derive(Debug)]
pub struct FabricRoute {
    pub config: FabricConfig,
    pub resolver: Arc<Resolver>,
    pub terms: AttemptConfig,
    pub transports: Arc<Transports>,
    pub attempts: Arc<ClusterMetrics>,
    pub metrics: Arc<FabricRouteMetrics>,
}

/// What a request asks for.
#[derive(Debug)]
pub struct FabricRequest {
    /// The name, if it does not come from the path.
    pub name: Option<String>,
    pub key: PartitionKey,
    is_key_missing: bool,
    pub listener: Option<Box<str>>,
    pub selector: Option<Selector>,
    pub timeout: Duration,
    /// What is left of the query, with its `?`.
    pub query: Vec<u8>,
    /// Where the path of the target ends.
    path_len: usize,
}

impl FabricRoute {
    /// Reads what the request asks for. Its target has been rewritten by the route.
    pub fn read(&self, exchange: &Exchange) -> Result<FabricRequest, GatewayError> {
        let target = exchange.request.target();
        let path_len = memchr::memchr(b'?', target).unwrap_or(target.len());
        match &self.config.addressing {
            Addressing::ByAddress { contract, .. } => self.read_contract(target, path_len, *contract),
            Addressing::ByRoute { service, key, listener, selector } => {
                let name = service.evaluate(exchange).map_err(|part| self.missing_value(part))?;
                Ok(FabricRequest {
                    name: Some(name.into_owned()),
                    key: self.route_key(key, exchange)?,
                    is_key_missing: false,
                    listener: listener.clone(),
                    selector: *selector,
                    timeout: self.config.timeout,
                    query: target[path_len..].to_vec(),
                    path_len,
                })
            }
        }
    }

    fn read_contract(
        &self,
        target: &[u8],
        path_len: usize,
        contract: ContractRules,
    ) -> Result<FabricRequest, GatewayError> {
        let mut query = Vec::new();
        let read = parse_query(&target[path_len..], contract, &mut query);
        let read = read.map_err(|error| self.address_error(&error))?;
        if read.service.is_none() && !begins_with_name(&target[..path_len]) {
            return Err(self.address_error(&AddressError::NoName));
        }
        Ok(FabricRequest {
            name: read.service,
            key: read.key,
            is_key_missing: read.is_key_missing,
            listener: read.listener.map(|name| name.into()),
            selector: read.selector,
            timeout: read.timeout.map_or(self.config.timeout, |timeout| timeout.min(self.config.max_timeout)),
            query,
            path_len,
        })
    }

    fn route_key(&self, source: &KeySource, exchange: &Exchange) -> Result<PartitionKey, GatewayError> {
        let text = |template: &ValueTemplate| {
            let value = template.evaluate(exchange).map_err(|part| self.missing_value(part));
            value.map(std::borrow::Cow::into_owned)
        };
        match source {
            KeySource::None => Ok(PartitionKey::None),
            KeySource::Named(template) => Ok(PartitionKey::Named(text(template)?.into())),
            KeySource::Hashed(template) => Ok(PartitionKey::Int64(fnv1a64(text(template)?.as_bytes()))),
            KeySource::Int64(template) => match parse_int64(text(template)?.as_bytes()) {
                Some(key) => Ok(PartitionKey::Int64(key)),
                None => Err(self.error(
                    ResolveError::BadKey.codes(),
                    "the partition key of the request is no integer of 64 bits".to_owned(),
                )),
            },
        }
    }

    /// The service, if the resolver knows it.
    pub fn find(&self, request: &FabricRequest, exchange: &Exchange) -> Option<ServiceMatch> {
        let mut found = self.resolver.find(self.query(request, exchange.request.target()), self.filter())?;
        found.segments = self.taken_segments(request, exchange.request.target(), &found);
        Some(found)
    }

    /// What the resolver looks up.
    pub fn query<'q>(&self, request: &'q FabricRequest, target: &'q [u8]) -> ServiceQuery<'q> {
        match &request.name {
            Some(name) => ServiceQuery::Name(name),
            None => ServiceQuery::Path(&target[..request.path_len]),
        }
    }

    /// The services that the route makes reachable; `None`: its settings name the service.
    pub fn filter(&self) -> Option<&NameFilter> {
        match &self.config.addressing {
            Addressing::ByAddress { filter, .. } => Some(filter),
            Addressing::ByRoute { .. } => None,
        }
    }

    /// How many segments of the path the name takes. A path behind `ServiceName` may begin with the name as well.
    pub fn taken_segments(&self, request: &FabricRequest, target: &[u8], found: &ServiceMatch) -> usize {
        if request.name.is_none() || self.filter().is_none() {
            return found.segments;
        }
        let mut path = name_segments(&target[..request.path_len]);
        let count = found.service.name.split('/').count();
        let is_same = found.service.name.split('/').all(|own| path.next().is_some_and(|other| other == own));
        if is_same { count } else { 0 }
    }

    /// What follows the base of the endpoint: the rest of the path, and of the query.
    pub fn suffix(&self, request: &FabricRequest, target: &[u8], segments: usize) -> Suffix {
        let rest = after_segments(&target[..request.path_len], segments);
        let rest: &[u8] = if rest.is_empty() { b"/" } else { rest };
        let mut suffix = Suffix::from_slice(rest);
        suffix.extend_from_slice(&request.query);
        suffix
    }

    /// The segments that the name took, as they came.
    pub fn prefix<'t>(&self, request: &FabricRequest, target: &'t [u8], segments: usize) -> &'t [u8] {
        let path = &target[..request.path_len];
        &path[..path.len() - after_segments(path, segments).len()]
    }

    /// Which endpoints the request may use.
    pub fn endpoint_rule<'r>(&'r self, request: &'r FabricRequest, exchange: &Exchange) -> EndpointRule<'r> {
        let (http, https) = self.config.schemes.unwrap_or((true, exchange.client.is_tls));
        let resolver = &self.resolver.config;
        EndpointRule {
            http,
            https,
            assumed_scheme: self.config.assumed_scheme,
            listener: request.listener.as_deref(),
            refuses_loopback: resolver.refuses_loopback,
            refuses_link_local: resolver.refuses_link_local,
            host_map: &resolver.host_map,
        }
    }

    /// Checks that the request has a key if it must have one.
    pub fn check_key(&self, request: &FabricRequest) -> Result<(), ResolveError> {
        if request.is_key_missing { Err(ResolveError::BadKey) } else { Ok(()) }
    }

    /// Whether clients name the service themselves.
    pub fn is_by_address(&self) -> bool {
        matches!(self.config.addressing, Addressing::ByAddress { .. })
    }

    /// The service in messages to clients: only those that named it see its name.
    pub fn service_label<'n>(&self, name: &'n str) -> &'n str {
        if self.is_by_address() { name } else { "the service" }
    }

    /// An error with a code of Service Fabric.
    pub fn error(&self, codes: (ErrorCode, &'static str), detail: String) -> GatewayError {
        fabric_error(codes, detail, self.config.is_strict)
    }

    fn missing_value(&self, part: &ValuePart) -> GatewayError {
        let detail = format!("the request has no value for {}", part.describe());
        self.error(ResolveError::BadKey.codes(), detail)
    }

    fn address_error(&self, error: &AddressError) -> GatewayError {
        let (code, detail) = match error {
            AddressError::BadValue(name, help) => {
                (fabric_code::INVALID_ARGUMENT, format!("invalid {name}: {help}"))
            }
            AddressError::NoName => {
                let detail = "the address has no name of a service: must be /App/Service/..., or \
                              ServiceName=fabric:/App/Service";
                (fabric_code::INVALID_NAME_URI, detail.to_owned())
            }
        };
        self.error((ErrorCode::FabricAddress, code), detail)
    }

    /// The error of a failed look-up.
    pub fn resolve_error(
        &self,
        found: Option<&ServiceMatch>,
        request: &FabricRequest,
        error: ResolveError,
    ) -> GatewayError {
        let name = found.map_or("", |found| &*found.service.name);
        let label = self.service_label(if name.is_empty() { "the service" } else { name });
        let detail = match &error {
            ResolveError::ServiceMissing if self.is_by_address() => {
                "no service has a name with which the address begins".to_owned()
            }
            ResolveError::ServiceMissing => "the service does not exist".to_owned(),
            ResolveError::PartitionMissing => format!("the partition of {label} does not exist"),
            ResolveError::BadKey => bad_key(label, found, request),
            ResolveError::Offline => format!("{label} has no replica to which the request can be sent"),
            ResolveError::Unreachable => "the naming service does not respond".to_owned(),
        };
        self.error(error.codes(), detail)
    }

    /// The selector does not fit the kind of service.
    pub fn selector_error(&self, name: &str) -> GatewayError {
        let label = self.service_label(name);
        let detail = format!(
            "invalid TargetReplicaSelector: {label} is stateless; must be RandomInstance or PrimaryReplica"
        );
        self.error((ErrorCode::FabricAddress, fabric_code::INVALID_ARGUMENT), detail)
    }
}

/// The keys of the service, and the key of the request.
fn bad_key(label: &str, found: Option<&ServiceMatch>, request: &FabricRequest) -> String {
    let table = found.map(|found| found.service.partitions.load());
    let entries = table.as_ref().map_or(&[][..], |table| table.entries());
    let key = if request.is_key_missing { "no key".to_owned() } else { request.key.to_string() };
    match (entries.first().map(|entry| &entry.info), entries.last().map(|entry| &entry.info)) {
        (Some(PartitionInfo::Int64Range(first)), Some(PartitionInfo::Int64Range(last))) => {
            format!("{label} has keys {} to {}, and {key} is none of them", first.low, last.high)
        }
        (Some(PartitionInfo::Named(_)), _) => {
            format!("{label} has named partitions, and {key} is none of them")
        }
        (Some(PartitionInfo::Singleton), _) => format!("{label} is not divided and has no key, found {key}"),
        _ => format!("{label} has no partition of the key, found {key}"),
    }
}
