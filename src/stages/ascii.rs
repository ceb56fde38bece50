//! Under `Compatibility: "Ocelot"` a header value that is not ASCII is a 400 (spec section 8, Ocelot 25.0, #2376).

use crate::pipeline::{
    cause::Cause,
    exchange::Exchange,
    stage::{Stage, Step},
};

pub const NAME: &str = "ascii-headers";

/// Refuses what Ocelot's HTTP client would not send.
#[derive(Debug)]
pub struct AsciiHeaders;

impl Stage for AsciiHeaders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        if x.req.fields().all(|(_, _, value)| value.is_ascii()) {
            return Step::Next;
        }
        Step::Fail(Cause::malformed("a header value is not ASCII"))
    }

    fn describe(&self) -> String {
        "refuses header values that are not ASCII".into()
    }
}
