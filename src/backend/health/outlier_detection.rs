//! Outlier detection (passive health checks): ejects endpoints whose requests fail.

use super::{config::OutlierDetection, state::Health};
use crate::{backend::endpoint::Endpoint, pipeline::error::ErrorCode};
use std::{sync::Arc, time::Instant};

/// The result of an attempt, as far as it concerns the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptReport {
    /// The head of a response with this status.
    Response(u16),
    /// No response, for this reason.
    Failed(ErrorCode),
    /// The client disconnected or the gateway canceled the attempt: no statement about the endpoint.
    Abandoned,
}

impl OutlierDetection {
    /// Records the result of an attempt; returns the reason if the endpoint should be ejected. Costs two loads for a
    /// success after a success, and a short lock with a failure ratio.
    pub fn record(&self, health: &Health, report: AttemptReport, now: Instant) -> Option<String> {
        let failed = match report {
            AttemptReport::Abandoned => return None,
            AttemptReport::Failed(_) => true,
            AttemptReport::Response(status) => self.statuses.contains(status),
        };
        let ratio = self.failure_ratio.map(|ratio| (ratio, health.count_in_window(failed, self.window, now)));
        if !failed {
            health.record_success();
            return None;
        }
        let consecutive = health.record_failure();
        if health.is_ejected() {
            return None;
        }
        if self.consecutive_failures.is_some_and(|max| consecutive >= max) {
            return Some(format!("{consecutive} consecutive failures, last: {}", describe(report)));
        }
        let (ratio, counts) = ratio?;
        let is_over = counts.total >= self.min_requests
            && f64::from(counts.failures) >= ratio * f64::from(counts.total);
        is_over.then(|| {
            format!("{} of {} requests failed, last: {}", counts.failures, counts.total, describe(report))
        })
    }

    /// Ejects an endpoint unless the maximum of `endpoints` is ejected already; returns the end of the ejection.
    /// Callers hold a lock, so that the maximum is exact.
    pub fn eject(
        &self,
        endpoints: &[Arc<Endpoint>],
        endpoint: &Endpoint,
        reason: String,
        now: Instant,
    ) -> Option<Instant> {
        let ejected = endpoints.iter().filter(|e| e.state.health.is_ejected()).count();
        let is_allowed = (ejected + 1) * 100 <= self.max_ejected_percent as usize * endpoints.len();
        let health = &endpoint.state.health;
        (is_allowed && !health.is_ejected()).then(|| health.eject(self, reason, now))
    }
}

fn describe(report: AttemptReport) -> String {
    match report {
        AttemptReport::Response(status) => status.to_string(),
        AttemptReport::Failed(code) => code.name().to_owned(),
        AttemptReport::Abandoned => String::new(),
    }
}
