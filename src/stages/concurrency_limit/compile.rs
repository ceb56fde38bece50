//! `ConcurrencyLimitOptions` → the limits.

use super::{ConcurrencyLimitConfig, ConcurrencyLimitDocument, ConcurrencyLimitOptions};
use crate::{
    config::{Span, codes, values::items},
    stages::{
        feature::{CompileContext, Feature},
        partition_key::{KeyPart, compile_parts, limit_name},
        rate_limit::scope,
    },
};
use std::{ops::RangeInclusive, time::Duration};

const DEFAULT_QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
const QUEUE_TIMEOUT_RANGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);

impl Feature for ConcurrencyLimitOptions {
    type Config = Vec<ConcurrencyLimitConfig>;

    fn compile(&self, context: &mut CompileContext) -> Option<Vec<ConcurrencyLimitConfig>> {
        if self.enable_concurrency_limit.as_ref().is_some_and(|on| !on.value) {
            return None;
        }
        let own = ConcurrencyLimitDocument { limit: self.limit.clone(), ..Default::default() };
        let own = (self.limit.is_some() || self.limits.is_none()).then(|| (own, context.span()));
        let nested = items(&self.limits).iter().map(|limit| (limit.value.clone(), limit.span));
        let limits: Vec<_> = own.into_iter().chain(nested).collect();
        Some(limits.iter().map(|(limit, span)| self.limit(limit, *span, context)).collect())
    }
}

impl ConcurrencyLimitOptions {
    /// One limit, which inherits what it does not set.
    fn limit(
        &self,
        limit: &ConcurrencyLimitDocument,
        span: Span,
        context: &mut CompileContext,
    ) -> ConcurrencyLimitConfig {
        if limit.limit.is_none() {
            context
                .diagnostics
                .error(codes::LIMIT_MISSING, span, "a concurrency limit without a Limit")
                .help("set the maximum number of concurrent requests: \"Limit\": 100");
        }
        let max = context.positive_count(&limit.limit, "Limit").map_or(1, |n| n.value);
        let queue = limit.queue_limit.as_ref().or(self.queue_limit.as_ref());
        if let Some(queue) = queue.filter(|queue| queue.value < 0) {
            let message = format!("invalid QueueLimit {}", queue.value);
            context.diagnostics.error(codes::BAD_COUNT, queue.span, message).help("must be 0 or more");
        }
        let timeout = limit.queue_timeout.as_ref().or(self.queue_timeout.as_ref());
        if let Some(timeout) = timeout.filter(|timeout| !QUEUE_TIMEOUT_RANGE.contains(&timeout.value.0)) {
            let message = format!("invalid QueueTimeout {}", timeout.value);
            context
                .diagnostics
                .error(codes::BAD_MAX_TIME, timeout.span, message)
                .help("must be between 1ms and 10m");
        }
        let own = items(&limit.partition_by);
        let parts = match if own.is_empty() { items(&self.partition_by) } else { own } {
            [] => vec![KeyPart::Route],
            list => compile_parts(list, None, context),
        };
        ConcurrencyLimitConfig {
            limit: usize::try_from(max).unwrap_or(usize::MAX),
            queue: queue.map_or(0, |queue| usize::try_from(queue.value).unwrap_or(0)),
            queue_timeout: timeout.map_or(DEFAULT_QUEUE_TIMEOUT, |timeout| timeout.value.0),
            name: limit_name(&parts, "", context.route.state_key),
            is_shared: scope::is_shared(limit.scope.as_ref().or(self.scope.as_ref()), context),
            partition_by: parts,
        }
    }
}
