//! `Via` and `Max-Forwards` (RFC 9110 7.6.2, 7.6.3).

use crate::{
    base::bytes::{decimal, put_decimal},
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::{KnownHeader, Version},
        response::Response,
        stage::{Stage, Step},
    },
};

pub const NAME: &str = "via";

/// Adds our line to `Via`; counts `Max-Forwards` down and answers where it ends.
#[derive(Debug)]
pub struct Via;

impl Stage for Via {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if matches!(exchange.request.method(), b"OPTIONS" | b"TRACE") {
            match exchange.request.get_known(KnownHeader::MaxForwards).map(decimal) {
                Some(Some(0)) => return max_forwards_exhausted(exchange),
                Some(Some(n)) => {
                    let mut left = Vec::with_capacity(20);
                    put_decimal(&mut left, n - 1);
                    exchange.request.set(b"Max-Forwards", &left);
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
        "adds Via, counts Max-Forwards down".into()
    }
}

/// The request ends here: OPTIONS is answered; TRACE is not, for its answer would show the client what proxies added.
fn max_forwards_exhausted(exchange: &Exchange) -> Step {
    match exchange.request.method() {
        b"OPTIONS" => Step::Respond(Response::local(200, "", "")),
        _ => Step::Fail(GatewayError::new(ErrorCode::RequestMethod, "TRACE is not answered here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{exchange::Peer, head::Head};
    use std::time::Instant;

    fn exchange(method: &str, left: &str) -> Exchange {
        let here = ([127, 0, 0, 1], 1).into();
        let mut x = Exchange::new(Peer::new(here, here, false), 0, Instant::now());
        x.request = Head::request(method.as_bytes(), b"/");
        x.request.append(b"Max-Forwards", left.as_bytes());
        x.request.append(b"Via", b"1.1 first");
        x
    }

    #[test]
    fn our_line_stands_behind_those_of_earlier_proxies() {
        let mut x = exchange("GET", "5");
        assert!(matches!(Via.on_request(&mut x), Step::Next));
        assert_eq!(x.request.get_all(b"via").collect::<Vec<_>>(), [&b"1.1 first"[..], b"1.1 margay"]);
        assert_eq!(x.request.get(b"max-forwards"), Some(&b"5"[..]));
    }

    #[test]
    fn max_forwards_counts_down_and_ends_here_at_zero() {
        let mut x = exchange("TRACE", "5");
        assert!(matches!(Via.on_request(&mut x), Step::Next));
        assert_eq!(x.request.get(b"max-forwards"), Some(&b"4"[..]));
        assert!(matches!(Via.on_request(&mut exchange("OPTIONS", "0")), Step::Respond(_)));
        assert!(matches!(Via.on_request(&mut exchange("TRACE", "0")), Step::Fail(_)));
        assert!(matches!(Via.on_request(&mut exchange("TRACE", "x")), Step::Fail(_)));
    }
}
