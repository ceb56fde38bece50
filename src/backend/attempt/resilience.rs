//! Retries, circuit breaker and fallback of a route: settings, and the state that outlives the plan.

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

/// The settings of a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResilienceConfig {
    pub quality: Option<QosConfig>,
    pub retry: Option<retry::RetryConfig>,
    pub fallback: Option<fallback::FallbackConfig>,
    /// The request header that contains the remaining time in milliseconds.
    pub deadline_header: Option<String>,
}

impl ResilienceConfig {
    /// Whether nothing is configured.
    pub fn is_empty(&self) -> bool {
        *self == ResilienceConfig::default()
    }
}

/// Circuit breaker and timeout (Ocelot's quality of service).
#[derive(Clone, Debug, PartialEq)]
pub struct QosConfig {
    /// `None`: only a timeout.
    pub breaker: Option<breaker::BreakerConfig>,
    pub scope: Scope,
    /// The timeout of one attempt.
    pub timeout: Option<Duration>,
    /// The route's name in Ocelot's text responses; `None`: problem responses.
    pub ocelot: Option<String>,
}

/// What a circuit breaker protects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    Route,
    /// Each endpoint of the cluster has its own breaker; endpoints with an open one are not selected.
    Endpoint,
}

/// State that outlives plans, by route and by cluster.
#[derive(Debug, Default)]
pub struct ResilienceState {
    breakers: WeakMap<String, Breaker>,
    budgets: WeakMap<String, Budget>,
}

/// The settings of a route with their state.
#[derive(Debug)]
pub struct Resilience {
    pub(super) quality: Option<QosConfig>,
    /// The breaker of the route; `None` if endpoints have their own.
    breaker: Option<Arc<Breaker>>,
    pub(super) retry: Option<Retry>,
    pub(super) fallback: Option<Fallback>,
    pub(super) deadline_header: Option<Box<str>>,
    pub(super) metrics: Arc<ResilienceMetrics>,
}

impl ResilienceState {
    /// Attaches state to settings: `route` and `cluster` are its keys, `fallback_cluster` is the cluster to
    /// fall back to.
    pub fn attach(
        &self,
        settings: &ResilienceConfig,
        (route, cluster): (&str, &str),
        fallback_cluster: Option<Arc<Cluster>>,
        metrics: Arc<ResilienceMetrics>,
    ) -> Resilience {
        let quality = settings.quality.clone();
        let has_route_breaker =
            quality.as_ref().is_some_and(|qos| qos.scope == Scope::Route && qos.breaker.is_some());
        let budget = || self.budgets.get_or_insert_with(cluster.to_owned(), Budget::default);
        Resilience {
            breaker: has_route_breaker
                .then(|| self.breakers.get_or_insert_with(route.to_owned(), Breaker::default)),
            quality,
            retry: settings.retry.clone().map(|retry| Retry::new(retry, budget())),
            fallback: settings
                .fallback
                .clone()
                .map(|settings| Fallback { settings, cluster: fallback_cluster }),
            deadline_header: settings.deadline_header.as_deref().map(Into::into),
            metrics,
        }
    }
}

impl Resilience {
    /// The timeout of one attempt: the shorter one of QoS and retry policy.
    pub(super) fn per_try_timeout(&self) -> Option<Duration> {
        let quality = self.quality.as_ref().and_then(|quality| quality.timeout);
        let retry = self.retry.as_ref().and_then(|retry| retry.settings.per_try_timeout);
        match (quality, retry) {
            (Some(quality), Some(retry)) => Some(quality.min(retry)),
            (quality, retry) => quality.or(retry),
        }
    }

    /// Admits a request to the breaker of the route, if there is one.
    pub(super) fn admit(&self, now: Instant) -> Result<Option<AdmissionGuard<'_>>, GatewayError> {
        let Some(breaker) = &self.breaker else { return Ok(None) };
        let Some(settings) = self.quality.as_ref().and_then(|quality| quality.breaker.as_ref()) else {
            return Ok(None);
        };
        match breaker.admit(now) {
            Ok(admission) => Ok(Some(AdmissionGuard::new(breaker, settings, admission))),
            Err(retry_after) => Err(self.breaker_open_error(retry_after)),
        }
    }

    /// Admits the next trial request to the breaker of the route.
    pub(super) fn yield_trial(&self, admission: breaker::Admission, now: Instant) {
        if let Some(breaker) = &self.breaker {
            breaker.yield_trial(admission, now);
        }
    }

    /// Whether the breaker of the route is open.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| breaker.is_open(now))
    }

    /// The breaker settings of endpoints, if each has its own.
    pub(super) fn endpoint_breaker(&self) -> Option<&breaker::BreakerConfig> {
        let quality = self.quality.as_ref().filter(|quality| quality.scope == Scope::Endpoint)?;
        quality.breaker.as_ref()
    }

    /// The error of a request that an open circuit breaker rejects.
    pub(super) fn breaker_open_error(&self, retry_after: Duration) -> GatewayError {
        self.metrics.count(Event::BreakerRefused);
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        let detail =
            format!("circuit breaker open after too many failures; next trial request in {seconds} s");
        GatewayError::new(ErrorCode::BackendCircuitOpen, detail)
            .with_details(|details| details.headers.push(("Retry-After".into(), seconds.max(1).to_string())))
    }

    /// Reports the result of an admitted request.
    pub(super) fn report(&self, admission: AdmissionGuard<'_>, failed: Option<bool>, target: &str) {
        let event = match admission.report(failed) {
            breaker::Transition::None => return,
            breaker::Transition::Opened => Event::BreakerOpened,
            breaker::Transition::Closed => Event::BreakerClosed,
        };
        self.metrics.count(event);
        log::warn!("{}: circuit breaker of {target} {}", self.metrics.label(), event.family_and_label().1);
    }
}
