//! `Via` and `Max-Forwards` (RFC 9110 7.6.2, 7.6.3).

use super::feature::{BuildContext, StageConfig};
use crate::{
    base::bytes::{decimal, put_decimal},
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::{KnownHeader, Version},
        response::Response,
        stage::{BoxStage, Stage, Step},
    },
};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "via";

/// Appends to `Via`; decrements `Max-Forwards` and responds when it is exhausted.
#[derive(Clone, Copy, Debug)]
pub struct Via;

impl StageConfig for Via {
    type State = ();

    fn build(&self, (): &(), context: &BuildContext) -> Vec<BoxStage> {
        context.is_proxied.then(|| Box::new(*self) as BoxStage).into_iter().collect()
    }
}

impl Stage for Via {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if matches!(exchange.request.method(), b"OPTIONS" | b"TRACE") {
            match exchange.request.get_known(KnownHeader::MaxForwards).map(decimal) {
                Some(Some(0)) => return max_forwards_exhausted(exchange),
                Some(Some(n)) => {
                    let mut remaining = Vec::with_capacity(20);
                    put_decimal(&mut remaining, n - 1);
                    exchange.request.set(b"Max-Forwards", &remaining);
                }
                Some(None) => {
                    return Step::Fail(GatewayError::malformed_request("Max-Forwards is not a number"));
                }
                None => {}
            }
        }
        let line: &[u8] = match exchange.request.version {
            Version::Http10 => b"1.0 margay",
            Version::Http11 => b"1.1 margay",
            Version::Http2 => b"2 margay",
        };
        exchange.request.append(b"Via", line);
        Step::Next
    }

    fn describe(&self) -> String {
        "adds Via, decrements Max-Forwards".into()
    }
}

/// Responds to OPTIONS. TRACE is rejected: its response would expose fields that proxies added.
fn max_forwards_exhausted(exchange: &Exchange) -> Step {
    match exchange.request.method() {
        b"OPTIONS" => Step::Respond(Response::local(200, "", "")),
        _ => Step::Fail(GatewayError::new(ErrorCode::RequestMethod, "the gateway does not respond to TRACE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{exchange::Peer, head::Head};
    use std::time::Instant;

    fn request(method: &str, remaining: &str) -> Exchange {
        let address = ([127, 0, 0, 1], 1).into();
        let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
        exchange.request = Head::request(method.as_bytes(), b"/");
        exchange.request.append(b"Max-Forwards", remaining.as_bytes());
        exchange.request.append(b"Via", b"1.1 first");
        exchange
    }

    #[test]
    fn via_is_appended_after_earlier_proxies() {
        let mut exchange = request("GET", "5");
        assert!(matches!(Via.on_request(&mut exchange), Step::Next));
        assert_eq!(exchange.request.get_all(b"via").collect::<Vec<_>>(), [&b"1.1 first"[..], b"1.1 margay"]);
        assert_eq!(exchange.request.get(b"max-forwards"), Some(&b"5"[..]));
    }

    #[test]
    fn max_forwards_is_decremented_and_exhausted_at_zero() {
        let mut exchange = request("TRACE", "5");
        assert!(matches!(Via.on_request(&mut exchange), Step::Next));
        assert_eq!(exchange.request.get(b"max-forwards"), Some(&b"4"[..]));
        assert!(matches!(Via.on_request(&mut request("OPTIONS", "0")), Step::Respond(_)));
        assert!(matches!(Via.on_request(&mut request("TRACE", "0")), Step::Fail(_)));
        assert!(matches!(Via.on_request(&mut request("TRACE", "x")), Step::Fail(_)));
    }
}
