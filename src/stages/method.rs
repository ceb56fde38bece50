//! `DownstreamHttpMethod`: the service gets another method (spec section 19).

use crate::pipeline::{
    exchange::Exchange,
    stage::{Stage, Step},
};

pub const NAME: &str = "method";

const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];

/// Replaces the method; body and headers stay.
#[derive(Debug)]
pub struct Method(Box<[u8]>);

impl Method {
    /// Known methods are sent in capitals, others as written.
    pub fn new(method: &str) -> Method {
        let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(method));
        Method(known.copied().unwrap_or(method).as_bytes().into())
    }
}

impl Stage for Method {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        x.req.set_method(&self.0);
        Step::Next
    }

    fn describe(&self) -> String {
        format!("sends {}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_methods_are_sent_in_capitals() {
        assert_eq!(&*Method::new("get").0, b"GET");
        assert_eq!(&*Method::new("Frob").0, b"Frob");
    }
}
