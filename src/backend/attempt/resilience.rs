//! What a route does about services that fail: as settings, and with the state that outlives the plan.

use super::{
    breaker::{self, AdmissionGuard, Breaker},
    fallback::{self, Fallback},
    retry::{self, Budget, Retry},
};
use crate::{
    backend::cluster::Cluster,
    base::weak_map::WeakMap,
    pipeline::error::{ErrorCode, GatewayError},
    telemetry::{Event, ResilienceMetrics},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What a route says about it; plain data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResilienceConfig {
    pub quality: Option<QosConfig>,
    pub retry: Option<retry::RetryConfig>,
    pub fallback: Option<fallback::FallbackConfig>,
    /// The header in which the service learns how many milliseconds are left.
    pub deadline_header: Option<String>,
}

impl ResilienceConfig {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == ResilienceConfig::default()
    }
}

/// Circuit breaker and time limit (Ocelot's quality of service).
#[derive(Clone, Debug, PartialEq)]
pub struct QosConfig {
    /// None: a time limit alone.
    pub breaker: Option<breaker::BreakerConfig>,
    pub scope: Scope,
    /// The time of one attempt.
    pub timeout: Option<Duration>,
    /// The route, as Ocelot names it in its answers; none: problems of our own.
    pub ocelot: Option<String>,
}

/// What a circuit stands before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    Route,
    /// Every endpoint of the cluster has its own: an open one is not chosen.
    Endpoint,
}

/// State that outlives plans, by key.
#[derive(Debug, Default)]
pub struct ResilienceState {
    breakers: WeakMap<String, Breaker>,
    budgets: WeakMap<String, Budget>,
}

/// The settings with their state.
#[derive(Debug)]
pub struct Resilience {
    pub(super) quality: Option<QosConfig>,
    /// The circuit of the route; none where the endpoints have theirs.
    breaker: Option<Arc<Breaker>>,
    pub(super) retry: Option<Retry>,
    pub(super) fallback: Option<Fallback>,
    pub(super) deadline_header: Option<Box<str>>,
    pub(super) metrics: Arc<ResilienceMetrics>,
}

impl ResilienceState {
    /// Attaches state to settings: `route` names the route, `cluster` the cluster; `other` is the one to fall back to.
    pub fn attach(
        &self,
        settings: &ResilienceConfig,
        (route, cluster): (&str, &str),
        other: Option<Arc<Cluster>>,
        metrics: Arc<ResilienceMetrics>,
    ) -> Resilience {
        let quality = settings.quality.clone();
        let own = quality.as_ref().is_some_and(|own| own.scope == Scope::Route && own.breaker.is_some());
        let budget = || self.budgets.get_or_insert_with(cluster.to_owned(), Budget::default);
        Resilience {
            breaker: own.then(|| self.breakers.get_or_insert_with(route.to_owned(), Breaker::default)),
            quality,
            retry: settings.retry.clone().map(|retry| Retry::new(retry, budget())),
            fallback: settings.fallback.clone().map(|settings| Fallback { settings, cluster: other }),
            deadline_header: settings.deadline_header.as_deref().map(Into::into),
            metrics,
        }
    }
}

impl Resilience {
    /// How long one attempt may take.
    pub(super) fn per_try_timeout(&self) -> Option<Duration> {
        let quality = self.quality.as_ref().and_then(|quality| quality.timeout);
        let retry = self.retry.as_ref().and_then(|retry| retry.settings.per_try_timeout);
        match (quality, retry) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Whether the circuit of the route lets this request pass.
    pub(super) fn admit(&self, now: Instant) -> Result<Option<AdmissionGuard<'_>>, GatewayError> {
        let Some(circuit) = &self.breaker else { return Ok(None) };
        let Some(settings) = self.quality.as_ref().and_then(|quality| quality.breaker.as_ref()) else {
            return Ok(None);
        };
        match circuit.admit(now) {
            Ok(ticket) => Ok(Some(AdmissionGuard::new(circuit, settings, ticket))),
            Err(wait) => Err(self.breaker_open_error(wait)),
        }
    }

    /// Whether the circuit of the route would refuse.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.breaker.as_ref().is_some_and(|circuit| circuit.is_open(now))
    }

    /// The settings of the circuits of endpoints, where each has its own.
    pub(super) fn endpoint_breaker(&self) -> Option<&breaker::BreakerConfig> {
        let quality = self.quality.as_ref().filter(|quality| quality.scope == Scope::Endpoint)?;
        quality.breaker.as_ref()
    }

    /// Nobody is asked for so long.
    pub(super) fn breaker_open_error(&self, wait: Duration) -> GatewayError {
        self.metrics.count(Event::BreakerRefused);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let detail = format!("the service failed too often; it is asked again in {seconds} s");
        GatewayError::new(ErrorCode::BackendCircuitOpen, detail)
            .with_details(|more| more.headers.push(("Retry-After".into(), seconds.max(1).to_string())))
    }

    /// What became of an admitted request.
    pub(super) fn report(&self, pass: AdmissionGuard<'_>, failed: Option<bool>, of: &str) {
        let event = match pass.report(failed) {
            breaker::Transition::None => return,
            breaker::Transition::Opened => Event::BreakerOpened,
            breaker::Transition::Closed => Event::BreakerClosed,
        };
        self.metrics.count(event);
        log::warn!("{}: the circuit before {of} {}", self.metrics.label(), event.place().1);
    }
}
