//! The access log entry of an exchange while it is collected.

use super::error::{ErrorCode, Fault, GatewayError};
use crate::telemetry::{ClientAddressPolicy, HeaderValues, Leg, firewall::FirewallRecord};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// How the query is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryPolicy {
    #[default]
    Omit,
    /// The names of parameters, without values.
    Redact,
    Log,
}

/// Parameters of hub clients that are secrets: their values are never logged.
const TOKEN_PARAMETERS: [&[u8]; 2] = [b"access_token=", b"awps_reconnection_token="];

/// What the access log contains of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPolicy {
    pub is_logged: bool,
    /// The share of requests that is logged, of `u32::MAX`; failures are always logged.
    pub sample: u32,
    pub query: QueryPolicy,
    pub client_address: ClientAddressPolicy,
    pub logs_user: bool,
}

impl Default for RecordPolicy {
    fn default() -> RecordPolicy {
        RecordPolicy {
            is_logged: true,
            sample: u32::MAX,
            query: QueryPolicy::Omit,
            client_address: ClientAddressPolicy::Log,
            logs_user: false,
        }
    }
}

impl RecordPolicy {
    /// Whether this request is logged.
    pub fn is_sampled(&self, is_failure: bool) -> bool {
        self.is_logged && (self.sample == u32::MAX || is_failure || fastrand::u32(..) < self.sample)
    }
}

/// The replica that got a request for a service with partitions.
#[derive(Clone, Debug)]
pub struct FabricRecord {
    /// The name without `fabric:/`.
    pub service: Arc<str>,
    /// The id of the partition.
    pub partition: Arc<str>,
    /// The id of the replica; empty if the cluster does not report it.
    pub replica: Arc<str>,
    /// `primary`, `secondary` or `instance`.
    pub replica_role: &'static str,
}

/// The access log entry of an exchange, written whatever its result.
#[derive(Debug, Default)]
pub struct AccessRecord {
    /// The entry is logged or has subscribers; values that are expensive to collect are recorded only then.
    pub enabled: bool,
    /// What is logged.
    pub policy: RecordPolicy,
    /// The request id, if there is one.
    pub id: Vec<u8>,
    /// The path as received, without the query; empty unless `enabled`.
    pub path: Vec<u8>,
    /// The request method; empty unless `enabled`.
    pub method: Vec<u8>,
    /// The `Host` of the request; empty unless `enabled`.
    pub host: Vec<u8>,
    /// Headers of the request and of the response that the access log contains, redacted as configured.
    pub request_headers: HeaderValues,
    pub response_headers: HeaderValues,
    /// The status of the response; 0 if none was sent.
    pub status: u16,
    /// The error code, if the gateway generated the response.
    pub error_code: Option<ErrorCode>,
    /// The stage that responded instead of the backend; empty if none did.
    pub stage: &'static str,
    /// The number of attempts made against endpoints.
    pub attempts: u32,
    /// The bytes of the response body that were sent.
    pub bytes_out: u64,
    /// The endpoint that sent the response, `host:port`.
    pub endpoint: Option<Arc<str>>,
    /// The connection to the endpoint uses TLS.
    pub endpoint_secure: bool,
    /// The replica that got the request, on routes to services with partitions; `None` unless `enabled`.
    pub fabric: Option<Box<FabricRecord>>,
    /// What the web application firewall has found, once it is known; `None` without inspection, and unless `enabled`.
    pub firewall: Option<Arc<OnceLock<FirewallRecord>>>,
    /// The status of the last response of the backend; 0 if there was none.
    pub backend_status: u16,
    /// The time of all attempts until their response heads; `None` without an attempt.
    pub backend: Option<Duration>,
    /// When the last attempt had its response head, or failed.
    pub backend_ended_at: Option<Instant>,
    /// The time in which the body of the client was waited for.
    pub client_wait: Duration,
}

impl AccessRecord {
    /// Clears the entry and keeps the memory of its texts.
    pub fn reset(&mut self) {
        self.id.clear();
        if self.enabled {
            self.clear_logged_values();
        }
        (self.enabled, self.policy, self.status, self.error_code) = Default::default();
        (self.stage, self.attempts, self.bytes_out) = Default::default();
        (self.endpoint, self.endpoint_secure, self.backend_status) = Default::default();
        (self.backend, self.backend_ended_at, self.client_wait) = Default::default();
    }

    /// Clears what is empty unless the entry is enabled.
    fn clear_logged_values(&mut self) {
        for text in [&mut self.path, &mut self.method, &mut self.host] {
            text.clear();
        }
        self.request_headers.clear();
        self.response_headers.clear();
        (self.fabric, self.firewall) = (None, None);
    }

    /// The query as it is logged; `None` if it is not. A redacted one is written to `redacted`.
    pub fn query<'q>(&self, target: &'q [u8], redacted: &'q mut Vec<u8>) -> Option<&'q [u8]> {
        if self.policy.query == QueryPolicy::Omit {
            return None;
        }
        let query = &target[memchr::memchr(b'?', target)? + 1..];
        let is_logged = self.policy.query == QueryPolicy::Log;
        if is_logged && !TOKEN_PARAMETERS.iter().any(|name| memchr::memmem::find(query, name).is_some()) {
            return Some(query);
        }
        for (at, parameter) in query.split(|byte| *byte == b'&').enumerate() {
            if at > 0 {
                redacted.push(b'&');
            }
            if is_logged && !TOKEN_PARAMETERS.iter().any(|name| parameter.starts_with(name)) {
                redacted.extend_from_slice(parameter);
                continue;
            }
            if let Some(end) = memchr::memchr(b'=', parameter) {
                redacted.extend_from_slice(&parameter[..=end]);
            }
            redacted.extend_from_slice(b"[redacted]");
        }
        Some(redacted)
    }

    /// Records the time of an attempt, which ends now, and the status of its response; returns the time.
    pub fn end_attempt(&mut self, started_at: Instant, status: Result<u16, &GatewayError>) -> Instant {
        let now = Instant::now();
        self.backend = Some(self.backend.unwrap_or_default() + (now - started_at));
        (self.backend_ended_at, self.backend_status) = (Some(now), status.unwrap_or(0));
        now
    }

    /// The part of the time before the response head that was spent waiting neither for the backend nor for the client.
    pub fn gateway_duration(&self, started_at: Instant, duration: Duration) -> Duration {
        let until_head = self.backend_ended_at.map_or(duration, |ended_at| ended_at - started_at);
        until_head.saturating_sub(self.backend.unwrap_or_default() + self.client_wait)
    }

    /// The party responsible for a failure; `None` if the request did not fail.
    pub fn leg(&self) -> Option<Leg> {
        match self.error_code.map(ErrorCode::fault) {
            Some(Fault::Client) => Some(Leg::Client),
            Some(Fault::Backend) => Some(Leg::Backend),
            Some(Fault::Gateway) => Some(Leg::Gateway),
            None if self.status < 500 => None,
            None if self.backend_status >= 500 => Some(Leg::Backend),
            None => Some(Leg::Gateway),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leg_is_that_of_the_error_code_or_of_the_response_of_the_backend() {
        let leg = |status, backend_status, error_code| {
            AccessRecord { status, backend_status, error_code, ..AccessRecord::default() }.leg()
        };
        assert_eq!(leg(200, 200, None), None);
        assert_eq!(leg(404, 404, None), None);
        assert_eq!(leg(503, 503, None), Some(Leg::Backend));
        assert_eq!(leg(503, 0, None), Some(Leg::Gateway));
        assert_eq!(leg(429, 0, Some(ErrorCode::RateLimitExceeded)), Some(Leg::Client));
        assert_eq!(leg(200, 200, Some(ErrorCode::BackendTruncated)), Some(Leg::Backend));
    }

    #[test]
    fn a_redacted_query_has_names_and_no_values() {
        let query = |query| {
            let policy = RecordPolicy { query, ..RecordPolicy::default() };
            let mut redacted = Vec::new();
            let record = AccessRecord { policy, ..AccessRecord::default() };
            record
                .query(b"/a?b=1&secret&c=", &mut redacted)
                .map(|query| String::from_utf8_lossy(query).into_owned())
        };
        assert_eq!(query(QueryPolicy::Omit), None);
        assert_eq!(query(QueryPolicy::Log).as_deref(), Some("b=1&secret&c="));
        assert_eq!(query(QueryPolicy::Redact).as_deref(), Some("b=[redacted]&[redacted]&c=[redacted]"));
        let policy = RecordPolicy { query: QueryPolicy::Log, ..RecordPolicy::default() };
        let (record, mut redacted) = (AccessRecord { policy, ..AccessRecord::default() }, Vec::new());
        let logged = record.query(b"/client?access_token=eyJ&x=1&awps_reconnection_token=s", &mut redacted);
        assert_eq!(logged, Some(&b"access_token=[redacted]&x=1&awps_reconnection_token=[redacted]"[..]));
    }

    #[test]
    fn failures_are_logged_whatever_the_sampling() {
        let policy = RecordPolicy { sample: 0, ..RecordPolicy::default() };
        assert!(policy.is_sampled(true) && !policy.is_sampled(false));
        assert!(RecordPolicy::default().is_sampled(false));
        assert!(!RecordPolicy { is_logged: false, ..policy }.is_sampled(true));
    }

    #[test]
    fn the_time_of_the_gateway_excludes_attempts_and_the_transfer_of_the_response() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let record = AccessRecord {
            backend: Some(ms(30)),
            backend_ended_at: Some(start + ms(50)),
            ..AccessRecord::default()
        };
        assert_eq!(record.gateway_duration(start, ms(1000)), ms(20));
        assert_eq!(AccessRecord::default().gateway_duration(start, ms(7)), ms(7));
    }
}
