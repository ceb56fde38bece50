//! What a route does about backends that fail: circuit breaker, retries, fallback and deadlines.

use super::clusters::Clusters;
use super::route_compiler::RouteCompiler;
use crate::backend::attempt::ResilienceConfig;
use crate::config::codes;
use crate::plan::blueprint::{ClusterBlueprint, Sourced};
use crate::plan::check::{OcelotBehavior, OcelotTolerated, non_blank, unsupported::EffectiveOptions, values};
use crate::plan::clusters::fallback;
use crate::plan::clusters::qos::{self, ResolvedQos};
use crate::plan::clusters::retry::{self, RetryOptions};
use crate::stages::feature::RouteFacts;
use crate::stages::header_transform::compile::is_framing;
use std::sync::Arc;
use std::time::Duration;

/// The time of a route's backend, and what is done about its failures.
pub(super) struct CompiledResilience {
    pub timeout: Sourced<Duration>,
    pub attempts: ResilienceConfig,
    pub fallback: Option<Arc<ClusterBlueprint>>,
}

impl RouteCompiler<'_, '_, '_> {
    /// Everything that is done about failures.
    pub(super) fn attempts(
        &mut self,
        effective: &EffectiveOptions,
        facts: RouteFacts,
        clusters: &Clusters,
    ) -> CompiledResilience {
        let mut timeout = self.timeout();
        let options = &effective.clusters;
        let quality = options.qos.as_ref().map(|options| ResolvedQos::resolve(options));
        let retry = options.retry.as_deref();
        let deadline_header = self.deadline_header();
        let mut context = self.context(facts);
        let attempts = ResilienceConfig {
            quality: quality.as_ref().and_then(|quality| qos::compile(quality, &mut context)),
            retry: retry.and_then(|options| retry::compile(options, &mut context)),
            fallback: options.fallback.as_ref().and_then(|options| fallback::compile(options, &mut context)),
            deadline_header,
        };
        self.check_timeouts(&attempts, (quality.as_ref(), retry), &mut timeout);
        let fallback = attempts.fallback.as_ref().and_then(|_| self.fallback_cluster(effective, clusters));
        CompiledResilience { timeout, attempts, fallback }
    }

    /// The cluster that the fallback names.
    fn fallback_cluster(
        &mut self,
        effective: &EffectiveOptions,
        clusters: &Clusters,
    ) -> Option<Arc<ClusterBlueprint>> {
        let name = non_blank(&effective.clusters.fallback.as_ref()?.cluster)?;
        let found = clusters.named(name).cloned();
        if found.is_none() {
            clusters.unknown(name, self.diagnostics);
        }
        found
    }

    /// The header is a header.
    fn deadline_header(&mut self) -> Option<String> {
        let global = &self.scope.global.deadline_header;
        let name = non_blank(&self.document.deadline_header).or(non_blank(global))?;
        if !values::is_token(name) || is_framing(name) {
            let message = format!("DeadlineHeader \"{}\" cannot be sent", name.value);
            self.diagnostics
                .error(codes::BAD_HEADER_NAME, name.span, message)
                .help("take the name of a header that does not frame messages, such as X-Deadline-Ms");
        }
        Some(name.value.clone())
    }

    /// A limit within a shorter one never counts.
    fn check_timeouts(
        &mut self,
        settings: &ResilienceConfig,
        (quality, retry): (Option<&ResolvedQos>, Option<&RetryOptions>),
        timeout: &mut Sourced<Duration>,
    ) {
        let limit = settings.quality.as_ref().and_then(|quality| quality.timeout);
        let place = quality.and_then(|quality| Some(quality.timeout.as_ref()?.span));
        if let (Some(limit), Some(place)) = (limit.filter(|limit| *limit >= timeout.value), place) {
            let message =
                format!("QoSOptions.Timeout is {limit:?}, and the Timeout of the route {:?}", timeout.value);
            OcelotTolerated::new(
                codes::TIMEOUTS_DISAGREE,
                OcelotBehavior::Effect("Timeout becomes twice QoSOptions.Timeout"),
                message,
            )
            .help("let QoSOptions.Timeout, the time of one attempt, be less than Timeout, the time of all")
            .report(self.diagnostics, self.scope.ocelot, place);
            *timeout = Sourced::new(limit * 2, Some(place));
        }
        let each = settings.retry.as_ref().and_then(|retry| retry.per_try_timeout);
        if let Some(each) = each.filter(|each| *each >= timeout.value) {
            let place = retry.and_then(|retry| retry.per_try_timeout.as_ref()).map(|set| set.span);
            let place = place.unwrap_or(self.document.span);
            let message =
                format!("PerTryTimeout is {each:?}, and the Timeout of the route {:?}", timeout.value);
            self.diagnostics
                .error(codes::TIMEOUTS_DISAGREE, place, message)
                .help("let PerTryTimeout be less than Timeout, the time of all attempts");
        }
    }
}
