//! What a route does about services that fail: as settings, and with the state that outlives the plan.

use super::{
    breaker::{self, Breaker, Pass},
    fallback::{self, Fallback},
    retry::{self, Budget, Retry},
};
use crate::{
    backend::cluster::Cluster,
    base::keyed::Keyed,
    pipeline::cause::{Cause, Why},
    telemetry::{AttemptMetrics, Event},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What a route says about it; plain data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub quality: Option<Quality>,
    pub retry: Option<retry::Settings>,
    pub fallback: Option<fallback::Settings>,
    /// The header in which the service learns how many milliseconds are left.
    pub deadline_header: Option<String>,
}

impl Settings {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Settings::default()
    }
}

/// Circuit breaker and time limit (Ocelot's quality of service).
#[derive(Clone, Debug, PartialEq)]
pub struct Quality {
    /// None: a time limit alone.
    pub breaker: Option<breaker::Settings>,
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
pub struct Keeps {
    breakers: Keyed<String, Breaker>,
    budgets: Keyed<String, Budget>,
}

/// The settings with their state.
#[derive(Debug)]
pub struct Care {
    pub(super) quality: Option<Quality>,
    /// The circuit of the route; none where the endpoints have theirs.
    circuit: Option<Arc<Breaker>>,
    pub(super) retry: Option<Retry>,
    pub(super) fallback: Option<Fallback>,
    pub(super) deadline_header: Option<Box<str>>,
    pub(super) metrics: Arc<AttemptMetrics>,
}

impl Keeps {
    /// Attaches state to settings: `route` names the route, `cluster` the cluster; `other` is the one to fall back to.
    pub fn care(
        &self,
        settings: &Settings,
        (route, cluster): (&str, &str),
        other: Option<Arc<Cluster>>,
        metrics: Arc<AttemptMetrics>,
    ) -> Care {
        let quality = settings.quality.clone();
        let own = quality.as_ref().is_some_and(|own| own.scope == Scope::Route && own.breaker.is_some());
        let budget = || self.budgets.get(cluster.to_owned(), Budget::default);
        Care {
            circuit: own.then(|| self.breakers.get(route.to_owned(), Breaker::default)),
            quality,
            retry: settings.retry.clone().map(|retry| Retry::new(retry, budget())),
            fallback: settings.fallback.clone().map(|settings| Fallback { settings, cluster: other }),
            deadline_header: settings.deadline_header.as_deref().map(Into::into),
            metrics,
        }
    }
}

impl Care {
    /// How long one attempt may take.
    pub(super) fn limit(&self) -> Option<Duration> {
        let quality = self.quality.as_ref().and_then(|quality| quality.timeout);
        let retry = self.retry.as_ref().and_then(|retry| retry.settings.each);
        match (quality, retry) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Whether the circuit of the route lets this request pass.
    pub(super) fn enter(&self, now: Instant) -> Result<Option<Pass<'_>>, Cause> {
        let Some(circuit) = &self.circuit else { return Ok(None) };
        let Some(settings) = self.quality.as_ref().and_then(|quality| quality.breaker.as_ref()) else {
            return Ok(None);
        };
        match circuit.admit(now) {
            Ok(ticket) => Ok(Some(Pass::new(circuit, settings, ticket))),
            Err(wait) => Err(self.refuse(wait)),
        }
    }

    /// Whether the circuit of the route would refuse.
    pub(super) fn is_shut(&self, now: Instant) -> bool {
        self.circuit.as_ref().is_some_and(|circuit| circuit.is_shut(now))
    }

    /// The settings of the circuits of endpoints, where each has its own.
    pub(super) fn of_endpoints(&self) -> Option<&breaker::Settings> {
        let quality = self.quality.as_ref().filter(|quality| quality.scope == Scope::Endpoint)?;
        quality.breaker.as_ref()
    }

    /// Nobody is asked for so long.
    pub(super) fn refuse(&self, wait: Duration) -> Cause {
        self.metrics.count(Event::BreakerRefused);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let detail = format!("the service failed too often; it is asked again in {seconds} s");
        Cause::new(Why::BackendBreaker, detail)
            .with(|more| more.fields.push(("Retry-After".into(), seconds.max(1).to_string())))
    }

    /// What became of an admitted request.
    pub(super) fn report(&self, pass: Pass<'_>, failed: Option<bool>, of: &str) {
        let event = match pass.report(failed) {
            breaker::Change::None => return,
            breaker::Change::Opened => Event::BreakerOpened,
            breaker::Change::Closed => Event::BreakerClosed,
        };
        self.metrics.count(event);
        log::warn!("{}: the circuit before {of} {}", self.metrics.label(), event.place().1);
    }
}
