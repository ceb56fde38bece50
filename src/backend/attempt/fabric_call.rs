//! One look-up and one attempt: the service, its partition, a replica, the call.

use super::{
    deadlines::Deadlines,
    endpoint_call::EndpointCall,
    fabric_outcome::{Failure, FailureCause, classify, redacted_error, timeout_error},
    outcome::attempt_outcome,
    retry_loop::call_error,
    span::{begin_span, end_span},
};
use crate::{
    backend::endpoint::Endpoint,
    backend::fabric::{
        choice::{ChoiceError, ReplicaChoice, Selector, TriedReplicas, choose, has_untried},
        error::{ResolveError, fabric_code},
        resolver::ServiceMatch,
        route::{FabricRequest, FabricRoute, Suffix},
        service::{Partition, PartitionMatch, PartitionSnapshot, Service, process_ms},
    },
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::ClientBody,
        cancel::until_deadline,
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        record::FabricRecord,
        response::{Response, RouteResult},
    },
};
use std::{sync::Arc, time::Instant};

/// What the rounds of one exchange have in common.
pub(super) struct FabricCall<'a> {
    pub route: &'a FabricRoute,
    hop: HopByHop,
    pub request: FabricRequest,
    /// The end of everything: look-ups, attempts and pauses.
    pub deadline: Instant,
    deadlines: Deadlines,
    pub found: Option<ServiceMatch>,
    /// The rest of path and query.
    suffix: Suffix,
    tried: TriedReplicas,
    /// The partition of the last attempt as it was then.
    pub used: Option<(Arc<Partition>, Arc<PartitionSnapshot>)>,
}

/// The result of one round.
pub(super) enum Round {
    Final(RouteResult),
    Failed(Failure),
}

impl From<GatewayError> for Box<Round> {
    fn from(error: GatewayError) -> Box<Round> {
        Box::new(Round::Final(Err(error)))
    }
}

impl<'a> FabricCall<'a> {
    /// Prepares the rounds of a request.
    pub fn new(
        route: &'a FabricRoute,
        hop: HopByHop,
        request: FabricRequest,
        now: Instant,
    ) -> FabricCall<'a> {
        FabricCall {
            deadline: now + request.timeout,
            deadlines: Deadlines::new(now),
            route,
            hop,
            request,
            found: None,
            suffix: Suffix::new(),
            tried: TriedReplicas::new(),
            used: None,
        }
    }

    /// One look-up and one attempt.
    pub async fn round(&mut self, exchange: &mut Exchange, caller: &mut dyn ClientBody) -> Round {
        let (partition, snapshot) = match self.resolve(exchange, caller).await {
            Ok(found) => found,
            Err(round) => return *round,
        };
        let choice = match self.choose(&snapshot, exchange) {
            Ok(choice) => choice,
            Err(round) => {
                self.used = Some((partition, snapshot));
                return *round;
            }
        };
        let replica = &snapshot.replicas[choice.replica];
        let Some(address) = &replica.address else { return self.resolve_failure(ResolveError::Offline) };
        let listener = &address.endpoints[choice.endpoint];
        let endpoint = self.route.transports.endpoint(listener, choice.scheme);
        self.set_target(&listener.base_path, exchange);
        self.record(&partition, &snapshot, choice, exchange);
        let outcome = self.call(&endpoint, exchange, caller).await;
        let failure = match classify(self.route, outcome, exchange, caller) {
            Ok(outcome) => {
                replica.state.accept();
                let redacted = |error| redacted_error(self.route, self.service_name(), error);
                return Round::Final(outcome.map_err(redacted));
            }
            Err(failure) => failure,
        };
        if failure.cause == FailureCause::Connect {
            replica.state.leave_out(process_ms(Instant::now()));
        }
        self.tried.push(replica.state.clone());
        self.used = Some((partition, snapshot));
        Round::Failed(failure)
    }

    /// The partition of the request, and its replicas.
    async fn resolve(
        &mut self,
        exchange: &mut Exchange,
        caller: &mut dyn ClientBody,
    ) -> Result<(Arc<Partition>, Arc<PartitionSnapshot>), Box<Round>> {
        let service = match &self.found {
            Some(found) => found.service.clone(),
            None => {
                let found = match self.route.find(&self.request, exchange) {
                    Some(found) => found,
                    // Boxed: keeps the future of known services small.
                    None => Box::pin(self.ask_service(exchange, caller)).await?,
                };
                self.begin(found, exchange)?
            }
        };
        let resolver = &self.route.resolver;
        let partition = match resolver.partition(&service, &self.request.key, exchange.now) {
            PartitionMatch::Known(partition) => {
                resolver.metrics.count_hit(exchange.worker);
                partition
            }
            PartitionMatch::BadKey => return Err(Box::new(self.resolve_failure(ResolveError::BadKey))),
            // Boxed: keeps the future of known partitions small.
            PartitionMatch::Unknown => Box::pin(self.ask_partition(&service, caller)).await?,
        };
        if let (Some(kind), Some(selector)) = (service.kind(), self.request.selector)
            && !selector.fits(kind)
        {
            return Err(self.route.selector_error(&service.name).into());
        }
        let snapshot = partition.snapshot();
        Ok((partition, snapshot))
    }

    /// Asks the resolver for a service that it does not know.
    async fn ask_service(
        &self,
        exchange: &Exchange,
        caller: &mut dyn ClientBody,
    ) -> Result<ServiceMatch, Box<Round>> {
        let (route, target) = (self.route, exchange.request.target());
        let query = route.query(&self.request, target);
        let asked = route.resolver.ask_service(query, route.filter(), &self.request.key);
        match until_deadline(asked, caller, Some(self.deadline)).await {
            Err(closed) => Err(closed.into()),
            Ok(None) => Err(timeout_error(route, None).into()),
            Ok(Some(Err(error))) => Err(Box::new(self.resolve_failure(error))),
            Ok(Some(Ok(mut found))) => {
                found.segments = route.taken_segments(&self.request, target, &found);
                Ok(found)
            }
        }
    }

    /// Asks the resolver for a partition that it does not know.
    async fn ask_partition(
        &self,
        service: &Arc<Service>,
        caller: &mut dyn ClientBody,
    ) -> Result<Arc<Partition>, Box<Round>> {
        let asked = self.route.resolver.ask_partition(service, &self.request.key);
        match until_deadline(asked, caller, Some(self.deadline)).await {
            Err(closed) => Err(closed.into()),
            Ok(None) => Err(timeout_error(self.route, self.service_name()).into()),
            Ok(Some(Err(error))) => Err(Box::new(self.resolve_failure(error))),
            Ok(Some(Ok(partition))) => Ok(partition),
        }
    }

    /// Prepares the request once its service is known.
    fn begin(&mut self, found: ServiceMatch, exchange: &mut Exchange) -> Result<Arc<Service>, Box<Round>> {
        let route = self.route;
        found.service.budget.deposit(exchange.now);
        self.suffix = route.suffix(&self.request, exchange.request.target(), found.segments);
        if route.config.adds_prefix && found.segments > 0 {
            let Exchange { request, scratch, .. } = exchange;
            scratch.clear();
            scratch.extend_from_slice(route.prefix(&self.request, request.target(), found.segments));
            request.set(b"X-Forwarded-Prefix", scratch);
        }
        if route.config.forwards_certificate && exchange.client.peer.tls {
            let certificate = exchange.client.certificate.clone();
            let value = certificate.as_ref().map_or("", |certificate| certificate.der_base64());
            exchange.request.set(b"X-Client-Certificate", value.as_bytes());
        }
        let service = found.service.clone();
        self.found = Some(found);
        match route.check_key(&self.request) {
            Ok(()) => Ok(service),
            Err(error) => Err(Box::new(self.resolve_failure(error))),
        }
    }

    fn choose(
        &self,
        snapshot: &Arc<PartitionSnapshot>,
        exchange: &Exchange,
    ) -> Result<ReplicaChoice, Box<Round>> {
        let rule = self.route.endpoint_rule(&self.request, exchange);
        let now_ms = process_ms(exchange.now);
        let random = |count: usize| fastrand::usize(..count);
        match choose(snapshot, self.selector(), &rule, &self.tried, now_ms, random) {
            Ok(choice) => Ok(choice),
            Err(ChoiceError::Offline) => Err(Box::new(self.resolve_failure(ResolveError::Offline))),
            Err(ChoiceError::NoEndpoint) => {
                let label = self.route.service_label(self.service_name().unwrap_or("the service"));
                let detail = match &self.request.listener {
                    Some(name) => {
                        format!("{label} has no endpoint of the listener \"{name}\" that may be used")
                    }
                    None => format!("{label} has no endpoint that may be used"),
                };
                let codes = (ErrorCode::FabricEndpoint, fabric_code::ENDPOINT_NOT_FOUND);
                Err(self.route.error(codes, detail).into())
            }
        }
    }

    fn selector(&self) -> Selector {
        self.request.selector.unwrap_or(Selector::Primary)
    }

    /// Whether the partition has a replica that was not tried, as it was known at the last attempt.
    pub fn has_other(&self, exchange: &Exchange) -> bool {
        let rule = self.route.endpoint_rule(&self.request, exchange);
        self.used.as_ref().is_some_and(|(_, used)| has_untried(used, self.selector(), &rule, &self.tried))
    }

    /// The URL that is sent: the base of the endpoint, then the rest of path and query.
    fn set_target(&self, base_path: &str, exchange: &mut Exchange) {
        let Exchange { request, scratch, .. } = exchange;
        scratch.clear();
        scratch.extend_from_slice(base_path.as_bytes());
        scratch.extend_from_slice(&self.suffix);
        request.rewrite_target(scratch);
    }

    fn record(
        &self,
        partition: &Partition,
        snapshot: &PartitionSnapshot,
        choice: ReplicaChoice,
        exchange: &mut Exchange,
    ) {
        if let (true, Some(found)) = (exchange.record.enabled, &self.found) {
            let replica = &snapshot.replicas[choice.replica];
            exchange.record.fabric = Some(Box::new(FabricRecord {
                service: found.service.name.clone(),
                partition: partition.id.clone(),
                replica: replica.id.clone(),
                replica_role: replica.role.label(),
            }));
        }
    }

    /// One attempt with one replica, in the time that is left.
    async fn call(
        &mut self,
        endpoint: &Arc<Endpoint>,
        exchange: &mut Exchange,
        caller: &mut dyn ClientBody,
    ) -> RouteResult {
        exchange.record.endpoint = Some(endpoint.label.clone());
        exchange.record.endpoint_secure = endpoint.primary.transport.tls.is_some();
        let called_at = Instant::now();
        self.deadlines.start_attempt(called_at, Some(self.deadline.saturating_duration_since(called_at)));
        let span_id = exchange.trace.is_some().then(|| begin_span(exchange));
        let call = EndpointCall::new(endpoint, &self.route.terms, self.hop, &mut self.deadlines);
        let outcome = call.send_with_reconnect(None, exchange, caller).await;
        let outcome = outcome.map_err(|error| call_error(error, &self.deadlines));
        let client_wait = self.deadlines.client_wait();
        exchange.record.client_wait += client_wait;
        exchange.record.end_attempt(called_at + client_wait, outcome.as_ref().map(Response::status));
        if let Some(span_id) = span_id {
            end_span(exchange, span_id, called_at, &endpoint.label, &outcome);
        }
        self.route.attempts.count(exchange.worker, attempt_outcome(&outcome));
        outcome
    }

    /// The name of the service, once it is known.
    pub fn service_name(&self) -> Option<&str> {
        self.found.as_ref().map(|found| &*found.service.name)
    }

    /// A failed look-up: final, or tried again.
    fn resolve_failure(&self, error: ResolveError) -> Round {
        let cause = match error {
            ResolveError::Unreachable => FailureCause::Naming,
            _ => FailureCause::Offline,
        };
        let is_temporary = error.is_temporary();
        let error = self.resolve_error(error);
        match is_temporary {
            true => Round::Failed(Failure { cause, outcome: Box::new(Err(error)) }),
            false => Round::Final(Err(error)),
        }
    }

    /// The error of a failed look-up.
    pub fn resolve_error(&self, error: ResolveError) -> GatewayError {
        self.route.resolve_error(self.found.as_ref(), &self.request, error)
    }
}
