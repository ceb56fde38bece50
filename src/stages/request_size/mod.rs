//! `RequestSizeOptions`: a route with smaller requests than `Limits` allow (nginx's `client_max_body_size`, Envoy's
//! `buffer` filter). Nothing outlives a reload.

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

pub const NAME: &str = "request-size";

/// The sizes of a request that the route takes; none: what the connection takes.
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
    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == RequestSize::default()
    }

    fn head(&self, exchange: &Exchange) -> Option<GatewayError> {
        let (count, size) = exchange.request.received();
        let over = |most: Option<usize>, is: usize| most.filter(|most| is > *most);
        if let Some(most) = over(self.max_headers_bytes, size) {
            let detail = format!("the header fields of the request are larger than {most} bytes");
            return Some(GatewayError::new(ErrorCode::RequestHeaders, detail));
        }
        let most = over(self.max_header_count, count)?;
        Some(GatewayError::new(
            ErrorCode::RequestHeaders,
            format!("the request has more than {most} header fields"),
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

    /// A length that is said is judged here, before anybody is bothered; one that is not, while the body comes in.
    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if let Some(cause) = self.head(exchange) {
            return Step::Fail(cause);
        }
        let Some(most) = self.max_body else { return Step::Next };
        let length = exchange.request.get_known(KnownHeader::ContentLength).and_then(decimal);
        if length.is_some_and(|length| length > most) {
            let detail = format!("the request body is larger than {most} bytes");
            return Step::Fail(GatewayError::new(ErrorCode::RequestBody, detail));
        }
        exchange.body.limit = exchange.body.limit.min(most);
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

    fn ask(size: &RequestSize, fields: &[(&str, &str)]) -> (Option<ErrorCode>, u64) {
        let from = "10.0.0.1:1".parse().expect("address");
        let mut x = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        x.request = Head::request(b"POST", b"/");
        fields.iter().for_each(|(name, value)| x.request.append(name.as_bytes(), value.as_bytes()));
        match size.on_request(&mut x) {
            Step::Fail(cause) => (Some(cause.why), x.body.limit),
            _ => (None, x.body.limit),
        }
    }

    #[test]
    fn a_body_whose_length_is_said_is_refused_at_once_and_another_is_counted() {
        let size = RequestSize { max_body: Some(10), ..RequestSize::default() };
        assert_eq!(ask(&size, &[("Content-Length", "11")]).0, Some(ErrorCode::RequestBody));
        assert_eq!(ask(&size, &[("Content-Length", "10")]), (None, 10));
        assert_eq!(ask(&size, &[("Transfer-Encoding", "chunked")]), (None, 10));
    }

    #[test]
    fn header_fields_are_weighed_and_counted() {
        let size =
            RequestSize { max_headers_bytes: Some(20), max_header_count: Some(2), ..RequestSize::default() };
        assert_eq!(ask(&size, &[("A", "1"), ("B", "2")]).0, None);
        assert_eq!(ask(&size, &[("A", "1"), ("B", "2"), ("C", "3")]).0, Some(ErrorCode::RequestHeaders));
        assert_eq!(ask(&size, &[("Name", "a long value here")]).0, Some(ErrorCode::RequestHeaders));
    }
}
