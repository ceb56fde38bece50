//! With `Compatibility: "Ocelot"` a header value that is not ASCII is a 400 (docs/ocelot-behavior.md, section 8).

use super::feature::{BuildContext, StageConfig};
use crate::pipeline::{
    error::GatewayError,
    exchange::Exchange,
    stage::{BoxStage, Stage, Step},
};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "ascii-headers";

/// Rejects requests that Ocelot's HTTP client would not send.
#[derive(Clone, Copy, Debug)]
pub struct AsciiHeaders;

impl StageConfig for AsciiHeaders {
    type State = ();

    fn build(&self, (): &(), context: &BuildContext) -> Vec<BoxStage> {
        context.is_proxied.then(|| Box::new(*self) as BoxStage).into_iter().collect()
    }
}

impl Stage for AsciiHeaders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if exchange.request.fields().all(|(_, _, value)| value.is_ascii()) {
            return Step::Next;
        }
        Step::Fail(GatewayError::malformed_request("a header value is not ASCII"))
    }

    fn describe(&self) -> String {
        "rejects header values that are not ASCII".into()
    }
}
