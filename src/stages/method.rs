//! `DownstreamHttpMethod`: sends another method to the backend (docs/ocelot-behavior.md, section 19).

use super::feature::ConfiguredStage;
use crate::pipeline::{
    exchange::Exchange,
    stage::{Stage, Step},
};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "method-override";

const STANDARD_METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];

/// Replaces the method; body and headers are unchanged.
#[derive(Clone, Debug)]
pub struct MethodOverride(Box<[u8]>);

impl MethodOverride {
    /// Standard methods are sent in uppercase, others as written.
    pub fn new(method: &str) -> MethodOverride {
        let standard = STANDARD_METHODS.iter().find(|standard| standard.eq_ignore_ascii_case(method));
        MethodOverride(standard.copied().unwrap_or(method).as_bytes().into())
    }
}

impl ConfiguredStage for MethodOverride {}

impl Stage for MethodOverride {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        exchange.request.set_method(&self.0);
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
    fn standard_methods_are_sent_in_uppercase() {
        assert_eq!(&*MethodOverride::new("get").0, b"GET");
        assert_eq!(&*MethodOverride::new("Frob").0, b"Frob");
    }
}
