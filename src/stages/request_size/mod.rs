//! `RequestSizeOptions`: smaller request size limits on a route than those of `Limits`.
//!
//! - Elsewhere: nginx's `client_max_body_size`, Envoy's `buffer` filter, ASP.NET's `RequestSizeLimit`.
//! - Entry point: [`RequestSize`], the settings and the stage.
//! - Callers: the table of stages builds it; `compile` checks the options.
//! - Owns: the limits of a route. Nothing outlives a reload.

mod compile;
mod options;

pub use options::{GlobalRequestSizeOptions, RequestSizeOptions};

use crate::{
    base::bytes::decimal,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::KnownHeader,
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "request-size";

/// The limits of a route; `None`: the limit of the listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestSize {
    /// Bytes of body.
    pub max_body: Option<u64>,
    /// Bytes of all header fields.
    pub max_headers_bytes: Option<usize>,
    /// Header fields.
    pub max_header_count: Option<usize>,
}

impl RequestSize {
    /// Whether it has no limits.
    pub fn is_empty(&self) -> bool {
        *self == RequestSize::default()
    }

    fn check_head(&self, exchange: &Exchange) -> Option<GatewayError> {
        let (count, size) = exchange.request.received();
        let over = |max: Option<usize>, actual: usize| max.filter(|max| actual > *max);
        if let Some(max) = over(self.max_headers_bytes, size) {
            let detail = format!("the header fields of the request are larger than {max} bytes");
            return Some(GatewayError::new(ErrorCode::RequestHeaders, detail));
        }
        let max = over(self.max_header_count, count)?;
        Some(GatewayError::new(
            ErrorCode::RequestHeaders,
            format!("the request has more than {max} header fields"),
        ))
    }
}

impl StageConfig for RequestSize {
    type State = ();

    fn build(&self, (): &(), _: &BuildContext) -> Vec<BoxStage> {
        vec![Box::new(self.clone())]
    }
}

impl Stage for RequestSize {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Checks `Content-Length`; a body without it is counted while it arrives.
    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if let Some(cause) = self.check_head(exchange) {
            return Step::Fail(cause);
        }
        let Some(max) = self.max_body else { return Step::Next };
        let length = exchange.request.get_known(KnownHeader::ContentLength).and_then(decimal);
        if length.is_some_and(|length| length > max) {
            let detail = format!("the request body is larger than {max} bytes");
            return Step::Fail(GatewayError::new(ErrorCode::RequestBody, detail));
        }
        exchange.body.limit = exchange.body.limit.min(max);
        Step::Next
    }

    fn describe(&self) -> String {
        let body = self.max_body.map(|n| format!("at most {n} bytes of body"));
        let headers = self.max_headers_bytes.map(|n| format!("{n} bytes of header fields"));
        let count = self.max_header_count.map(|n| format!("{n} header fields"));
        [body, headers, count].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{exchange::Peer, head::Head};
    use std::time::Instant;

    fn check(size: &RequestSize, fields: &[(&str, &str)]) -> (Option<ErrorCode>, u64) {
        let from = "10.0.0.1:1".parse().expect("address");
        let mut exchange = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        exchange.request = Head::request(b"POST", b"/");
        fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
        match size.on_request(&mut exchange) {
            Step::Fail(cause) => (Some(cause.code), exchange.body.limit),
            _ => (None, exchange.body.limit),
        }
    }

    #[test]
    fn a_known_length_is_rejected_early_and_an_unknown_one_counted() {
        let size = RequestSize { max_body: Some(10), ..RequestSize::default() };
        assert_eq!(check(&size, &[("Content-Length", "11")]).0, Some(ErrorCode::RequestBody));
        assert_eq!(check(&size, &[("Content-Length", "10")]), (None, 10));
        assert_eq!(check(&size, &[("Transfer-Encoding", "chunked")]), (None, 10));
    }

    #[test]
    fn header_fields_are_limited_by_size_and_number() {
        let size =
            RequestSize { max_headers_bytes: Some(20), max_header_count: Some(2), ..RequestSize::default() };
        assert_eq!(check(&size, &[("A", "1"), ("B", "2")]).0, None);
        assert_eq!(check(&size, &[("A", "1"), ("B", "2"), ("C", "3")]).0, Some(ErrorCode::RequestHeaders));
        assert_eq!(check(&size, &[("Name", "a long value here")]).0, Some(ErrorCode::RequestHeaders));
    }
}
