//! `RequestSizeOptions`: a route that takes less than the connection does.

use crate::{
    base::bytes::decimal,
    pipeline::{
        cause::{Cause, Why},
        exchange::Exchange,
        head::Known,
        stage::{Stage, Step},
    },
};

pub const NAME: &str = "request-size";

/// The sizes of a request that the route takes; none: what the connection takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestSize {
    /// Bytes of body.
    pub body: Option<u64>,
    /// Bytes of all header fields.
    pub headers: Option<usize>,
    /// Header fields.
    pub count: Option<usize>,
}

impl RequestSize {
    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == RequestSize::default()
    }

    fn head(&self, x: &Exchange) -> Option<Cause> {
        let (count, size) = x.req.received();
        let over = |most: Option<usize>, is: usize| most.filter(|most| is > *most);
        if let Some(most) = over(self.headers, size) {
            let detail = format!("the header fields of the request are larger than {most} bytes");
            return Some(Cause::new(Why::RequestHeaders, detail));
        }
        let most = over(self.count, count)?;
        Some(Cause::new(Why::RequestHeaders, format!("the request has more than {most} header fields")))
    }
}

impl Stage for RequestSize {
    fn name(&self) -> &'static str {
        NAME
    }

    /// A length that is said is judged here, before anybody is bothered; one that is not, while the body comes in.
    fn request(&self, x: &mut Exchange) -> Step {
        if let Some(cause) = self.head(x) {
            return Step::Fail(cause);
        }
        let Some(most) = self.body else { return Step::Next };
        let length = x.req.known(Known::ContentLength).and_then(decimal);
        if length.is_some_and(|length| length > most) {
            let detail = format!("the request body is larger than {most} bytes");
            return Step::Fail(Cause::new(Why::RequestBody, detail));
        }
        x.body_limit = x.body_limit.min(most);
        Step::Next
    }

    fn describe(&self) -> String {
        let body = self.body.map(|n| format!("at most {n} bytes of body"));
        let headers = self.headers.map(|n| format!("{n} bytes of header fields"));
        let count = self.count.map(|n| format!("{n} header fields"));
        [body, headers, count].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{exchange::Peer, head::Head};
    use std::time::Instant;

    fn ask(size: &RequestSize, fields: &[(&str, &str)]) -> (Option<Why>, u64) {
        let from = "10.0.0.1:1".parse().expect("address");
        let mut x = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        x.req = Head::request(b"POST", b"/");
        fields.iter().for_each(|(name, value)| x.req.append(name.as_bytes(), value.as_bytes()));
        match size.request(&mut x) {
            Step::Fail(cause) => (Some(cause.why), x.body_limit),
            _ => (None, x.body_limit),
        }
    }

    #[test]
    fn a_body_whose_length_is_said_is_refused_at_once_and_another_is_counted() {
        let size = RequestSize { body: Some(10), ..RequestSize::default() };
        assert_eq!(ask(&size, &[("Content-Length", "11")]).0, Some(Why::RequestBody));
        assert_eq!(ask(&size, &[("Content-Length", "10")]), (None, 10));
        assert_eq!(ask(&size, &[("Transfer-Encoding", "chunked")]), (None, 10));
    }

    #[test]
    fn header_fields_are_weighed_and_counted() {
        let size = RequestSize { headers: Some(20), count: Some(2), ..RequestSize::default() };
        assert_eq!(ask(&size, &[("A", "1"), ("B", "2")]).0, None);
        assert_eq!(ask(&size, &[("A", "1"), ("B", "2"), ("C", "3")]).0, Some(Why::RequestHeaders));
        assert_eq!(ask(&size, &[("Name", "a long value here")]).0, Some(Why::RequestHeaders));
    }
}
