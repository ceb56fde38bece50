//! How a route handles failing backends: circuit breaker, retries, fallback and deadlines.

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

/// The timeout of a route's backend, and how its failures are handled.
pub(super) struct CompiledResilience {
    pub timeout: Sourced<Duration>,
    pub attempts: ResilienceConfig,
    pub fallback: Option<Arc<ClusterBlueprint>>,
}

impl RouteCompiler<'_, '_, '_> {
    /// Compiles all of it.
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

    /// `DeadlineHeader`, if it is a valid header name.
    fn deadline_header(&mut self) -> Option<String> {
        let global = &self.scope.global.deadline_header;
        let name = non_blank(&self.document.deadline_header).or(non_blank(global))?;
        if !values::is_token(name) || is_framing(name) {
            let message = format!("invalid DeadlineHeader \"{}\"", name.value);
            self.diagnostics
                .error(codes::BAD_HEADER_NAME, name.span, message)
                .help("must be a header name that is not a framing field, such as X-Deadline-Ms");
        }
        Some(name.value.clone())
    }

    /// A timeout that is not shorter than the enclosing one has no effect.
    fn check_timeouts(
        &mut self,
        settings: &ResilienceConfig,
        (quality, retry): (Option<&ResolvedQos>, Option<&RetryOptions>),
        timeout: &mut Sourced<Duration>,
    ) {
        let limit = settings.quality.as_ref().and_then(|quality| quality.timeout);
        let span = quality.and_then(|quality| Some(quality.timeout.as_ref()?.span));
        if let (Some(limit), Some(span)) = (limit.filter(|limit| *limit >= timeout.value), span) {
            let message = format!(
                "QoSOptions.Timeout {limit:?} is not less than the route's Timeout {:?}",
                timeout.value
            );
            OcelotTolerated::new(
                codes::TIMEOUTS_DISAGREE,
                OcelotBehavior::Effect("Timeout becomes twice QoSOptions.Timeout"),
                message,
            )
            .help("QoSOptions.Timeout (one attempt) must be less than Timeout (all attempts)")
            .report(self.diagnostics, self.scope.ocelot, span);
            *timeout = Sourced::new(limit * 2, Some(span));
        }
        let each = settings.retry.as_ref().and_then(|retry| retry.per_try_timeout);
        if let Some(each) = each.filter(|each| *each >= timeout.value) {
            let span = retry.and_then(|retry| retry.per_try_timeout.as_ref()).map(|set| set.span);
            let span = span.unwrap_or(self.document.span);
            let message =
                format!("PerTryTimeout {each:?} is not less than the route's Timeout {:?}", timeout.value);
            self.diagnostics
                .error(codes::TIMEOUTS_DISAGREE, span, message)
                .help("PerTryTimeout (one attempt) must be less than Timeout (all attempts)");
        }
    }
}
