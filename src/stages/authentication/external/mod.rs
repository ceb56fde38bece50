//! `External`: a service outside of the gateway authorizes requests (nginx `auth_request`, Traefik's `ForwardAuth`, Envoy's
//! `ext_authz`), over HTTP or gRPC.
//!
//! - Entry point: [`External::check`], called by the stage after the other schemes of the route.
//! - Owns: idle connections to the authorizer and the cache of its decisions.

mod decision;
pub mod envoy;
mod grpc;
mod http;
pub mod settings;
mod subject;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use super::waiting::WaitingLimit;
use crate::{
    net::{background::BackgroundRuntime, grpc_client::GrpcClient, http_client::KeepAliveClient},
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        stage::Step,
    },
};
use decision::{Allowance, Decision, FieldAction};
use moka::{policy::EvictionPolicy, sync::Cache};
use settings::{AuthorizerProtocol, ExternalSettings};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use subject::{AuthorizationSubject, decision_key};

/// Requests that wait for one authorizer.
const MAX_WAITING: usize = 4096;
/// Memory for stored decisions of one authorizer.
const DECISION_CACHE_BYTES: u64 = 16 << 20;
/// How often the same failure is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A decision, and until when it is used.
type StoredDecision = (Arc<Decision>, Instant);

/// A compiled authorizer.
#[derive(Debug)]
pub struct External {
    name: Arc<str>,
    settings: ExternalSettings,
    transport: AuthorizerTransport,
    waiting: WaitingLimit,
    decisions: Option<Cache<[u8; 32], StoredDecision>>,
    last_logged: Mutex<Option<Instant>>,
}

#[derive(Debug)]
enum AuthorizerTransport {
    Http(Box<KeepAliveClient>, &'static str),
    Grpc(GrpcClient),
}

impl External {
    /// An authorizer without a connection.
    pub fn new(name: &str, settings: ExternalSettings, background: &BackgroundRuntime) -> External {
        let transport = match settings.protocol {
            AuthorizerProtocol::Http(method) => {
                AuthorizerTransport::Http(Box::new(KeepAliveClient::new(settings.tls.clone())), method)
            }
            AuthorizerProtocol::Grpc => AuthorizerTransport::Grpc(GrpcClient::new(
                settings.url.clone(),
                settings.tls.clone(),
                background.clone(),
            )),
        };
        let decisions = settings.cache.as_ref().map(|_| {
            Cache::<[u8; 32], StoredDecision>::builder()
                .max_capacity(DECISION_CACHE_BYTES)
                .weigher(|_, (decision, _)| decision.weight())
                .eviction_policy(EvictionPolicy::lru())
                .build()
        });
        let (waiting, last_logged) = (WaitingLimit::new(MAX_WAITING), Mutex::default());
        External { name: name.into(), settings, transport, waiting, decisions, last_logged }
    }

    /// For `explain`.
    pub fn describe(&self) -> String {
        format!("{} at {}", self.name, self.settings.display_url())
    }

    /// Removes the fields of a request that only the authorizer may set.
    pub fn strip(&self, exchange: &mut Exchange) {
        for name in &self.settings.response_headers {
            exchange.request.remove(name.as_bytes());
        }
    }

    /// Lets the authorizer decide about a request. A dry run does not call it.
    pub fn check(self: &Arc<Self>, exchange: &mut Exchange) -> Step {
        if exchange.is_dry_run {
            return Step::Next;
        }
        let key = self.settings.cache.as_ref().map(|cache| decision_key(exchange, &cache.headers));
        if let Some((decision, _)) = self.stored(key.as_ref()).filter(|(_, until)| exchange.now < *until) {
            return self.apply(&decision, exchange);
        }
        let Some(guard) = self.waiting.try_enter(exchange.client.ip) else {
            return Step::Fail(self.unavailable("too many requests wait for it"));
        };
        let subject = AuthorizationSubject::new(exchange, self.settings.request_headers.as_deref());
        let (external, worker) = (self.clone(), exchange.worker);
        Step::Suspend(Box::pin(async move {
            let decision = external.call(&subject, worker, key).await;
            drop(guard);
            match decision {
                Ok(decision) => Step::ResumeAt(Box::new(move |exchange| external.apply(&decision, exchange))),
                Err(cause) => Step::Fail(cause),
            }
        }))
    }

    fn stored(&self, key: Option<&[u8; 32]>) -> Option<StoredDecision> {
        self.decisions.as_ref()?.get(key?)
    }

    fn apply(&self, decision: &Decision, exchange: &mut Exchange) -> Step {
        match decision.apply(&self.name, exchange) {
            Ok(()) => Step::Next,
            Err(cause) => Step::Fail(cause),
        }
    }

    async fn call(
        &self,
        subject: &AuthorizationSubject,
        worker: usize,
        key: Option<[u8; 32]>,
    ) -> Result<Arc<Decision>, GatewayError> {
        let settings = &self.settings;
        let called = match &self.transport {
            AuthorizerTransport::Http(client, method) => {
                let response = http::check(client, settings, method, subject, worker).await;
                response.and_then(|response| match response.status() {
                    500.. if settings.allow_on_failure => {
                        Err(format!("{}: the response status is {}", settings.url, response.status()))
                    }
                    _ => Ok((http::is_storable(&response), http::decision(settings, response))),
                })
            }
            AuthorizerTransport::Grpc(client) => {
                let response = grpc::check(client, &self.name, settings.timeout, subject).await;
                response
                    .map(|response| grpc::decision(settings, response))
                    .map(|d| (grpc::is_storable(&d), d))
            }
        };
        match called {
            Ok((is_storable, decision)) => {
                let decision = Arc::new(decision);
                self.store(key.filter(|_| is_storable), &decision);
                Ok(decision)
            }
            Err(why) => self.fail(&why),
        }
    }

    fn store(&self, key: Option<[u8; 32]>, decision: &Arc<Decision>) {
        if let (Some(decisions), Some(key), Some(cache)) = (&self.decisions, key, &self.settings.cache) {
            decisions.insert(key, (decision.clone(), Instant::now() + cache.ttl));
        }
    }

    /// The authorizer did not decide.
    fn fail(&self, why: &str) -> Result<Arc<Decision>, GatewayError> {
        let consequence = if self.settings.allow_on_failure { "passes" } else { "is rejected" };
        let mut last = self.last_logged.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            *last = Some(Instant::now());
            log::warn!("authorizer {}: {why}; the request {consequence}", self.name);
        }
        match self.settings.allow_on_failure {
            // The fields of the authorizer are removed nevertheless: only it may set them.
            true => Ok(Arc::new(Decision::Allow(self.bare_allowance()))),
            false => Err(self.unavailable("it did not respond")),
        }
    }

    fn bare_allowance(&self) -> Allowance {
        let names = self.settings.response_headers.iter();
        let request = names.map(|name| (FieldAction::Remove, name.clone(), Vec::new())).collect();
        Allowance { request, ..Allowance::default() }
    }

    fn unavailable(&self, why: &str) -> GatewayError {
        let detail = format!("the authorizer {} is unavailable: {why}", self.name);
        GatewayError::new(ErrorCode::AccessAuthorizerUnavailable, detail)
            .with_details(|details| details.headers.push(("Retry-After".into(), "2".to_owned())))
    }
}
