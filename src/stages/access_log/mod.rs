//! `AccessLogOptions`: what the access log contains of the requests of a route: sampling, and redaction of the query, of
//! headers and of the client address.
//!
//! - Elsewhere: Envoy's access log filters, nginx's `access_log ... if=`, Traefik's `accessLog.fields`.
//! - Entry point: [`RecordConfig`], the settings; [`RecordStage`] records before other stages change the request, and after
//!   all of them the response.
//! - Callers: the table of stages builds it; the compiler of the document uses [`record_config`] for requests without a
//!   route.
//! - Owns: nothing; the record belongs to the exchange. Nothing here outlives a reload.

mod compile;
mod options;

pub use compile::record_config;
pub use options::{AccessLogOptions, ClientAddressLogging, GlobalAccessLogOptions, QueryLogging};

use super::feature::{BuildContext, StageConfig};
use crate::pipeline::{
    exchange::Exchange,
    head::Head,
    record::RecordPolicy,
    response::RouteResult,
    stage::{BoxStage, Stage, Step},
};
use crate::telemetry::HeaderValues;
use std::borrow::Cow;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "access-log";

/// Longest value of a header in the log.
const MAX_HEADER_BYTES: usize = 1024;
/// The value of a redacted header.
const REDACTED: &[u8] = b"[redacted]";

/// The settings of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordConfig {
    pub policy: RecordPolicy,
    pub request_headers: Box<[RecordedHeader]>,
    pub response_headers: Box<[RecordedHeader]>,
}

/// A header that is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedHeader {
    /// In lower case.
    pub name: Box<str>,
    pub is_redacted: bool,
}

impl StageConfig for RecordConfig {
    type State = ();

    fn build(&self, (): &(), _: &BuildContext) -> Vec<BoxStage> {
        vec![Box::new(RecordStage(self.clone()))]
    }
}

/// Sets the policy of the record, and records headers.
#[derive(Debug)]
pub struct RecordStage(RecordConfig);

impl Stage for RecordStage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let Exchange { record, request, .. } = exchange;
        record.policy = self.0.policy;
        if record.enabled {
            record_headers(&self.0.request_headers, request, &mut record.request_headers);
        }
        Step::Next
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        if let Ok(response) = outcome
            && exchange.record.enabled
        {
            let recorded = &mut exchange.record.response_headers;
            record_headers(&self.0.response_headers, &response.head, recorded);
        }
    }

    fn describe(&self) -> String {
        let RecordPolicy { is_logged, sample, .. } = self.0.policy;
        match is_logged {
            false => "does not log requests".to_owned(),
            true if sample == u32::MAX => "logs requests as configured".to_owned(),
            true => {
                let percent = f64::from(sample) / f64::from(u32::MAX) * 100.0;
                format!("logs failures and {percent:.2} % of the other requests")
            }
        }
    }
}

fn record_headers(headers: &[RecordedHeader], head: &Head, recorded: &mut HeaderValues) {
    for header in headers {
        if recorded.get(&header.name).is_some() {
            continue;
        }
        let mut lines = head.get_all(header.name.as_bytes());
        let Some(first) = lines.next() else { continue };
        let joined =
            lines.fold(Cow::Borrowed(first), |joined, line| [&joined, &b", "[..], line].concat().into());
        let value = if header.is_redacted { REDACTED } else { &joined[..joined.len().min(MAX_HEADER_BYTES)] };
        recorded.push(&header.name, value);
    }
}

#[cfg(test)]
mod tests;
