//! `Via` and `Max-Forwards` (RFC 9110 7.6.2, 7.6.3).

use crate::{
    base::bytes::{decimal, put_decimal},
    pipeline::{
        answer::Answer,
        cause::{Cause, Why},
        exchange::Exchange,
        head::{Known, Version},
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

    fn request(&self, x: &mut Exchange) -> Step {
        if matches!(x.req.method(), b"OPTIONS" | b"TRACE") {
            match x.req.known(Known::MaxForwards).map(decimal) {
                Some(Some(0)) => return last_stop(x),
                Some(Some(n)) => {
                    let mut left = Vec::with_capacity(20);
                    put_decimal(&mut left, n - 1);
                    x.req.set(b"Max-Forwards", &left);
                }
                Some(None) => return Step::Fail(Cause::malformed("Max-Forwards is not a number")),
                None => {}
            }
        }
        let line: &[u8] = match x.req.version {
            Version::Http10 => b"1.0 margay",
            Version::Http11 => b"1.1 margay",
            Version::Http2 => b"2 margay",
        };
        x.req.append(b"Via", line);
        Step::Next
    }

    fn describe(&self) -> String {
        "adds Via, counts Max-Forwards down".into()
    }
}

/// The request ends here: OPTIONS is answered; TRACE is not, for its answer would show the client what proxies added.
fn last_stop(x: &Exchange) -> Step {
    match x.req.method() {
        b"OPTIONS" => Step::Reply(Answer::reply(200, "", "")),
        _ => Step::Fail(Cause::new(Why::RequestMethod, "TRACE is not answered here")),
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
        x.req = Head::request(method.as_bytes(), b"/");
        x.req.append(b"Max-Forwards", left.as_bytes());
        x.req.append(b"Via", b"1.1 first");
        x
    }

    #[test]
    fn our_line_stands_behind_those_of_earlier_proxies() {
        let mut x = exchange("GET", "5");
        assert!(matches!(Via.request(&mut x), Step::Next));
        assert_eq!(x.req.all(b"via").collect::<Vec<_>>(), [&b"1.1 first"[..], b"1.1 margay"]);
        assert_eq!(x.req.get(b"max-forwards"), Some(&b"5"[..]));
    }

    #[test]
    fn max_forwards_counts_down_and_ends_here_at_zero() {
        let mut x = exchange("TRACE", "5");
        assert!(matches!(Via.request(&mut x), Step::Next));
        assert_eq!(x.req.get(b"max-forwards"), Some(&b"4"[..]));
        assert!(matches!(Via.request(&mut exchange("OPTIONS", "0")), Step::Reply(_)));
        assert!(matches!(Via.request(&mut exchange("TRACE", "0")), Step::Fail(_)));
        assert!(matches!(Via.request(&mut exchange("TRACE", "x")), Step::Fail(_)));
    }
}
