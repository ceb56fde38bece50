//! `AddHeadersToRequest`: sets request headers from claims.

use super::mapping::{ClaimMapping, describe, in_dotnet_order};
use crate::stages::feature::ConfiguredStage;
use crate::{
    base::bytes::{is_field_value, trim_ows},
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        stage::{Stage, Step},
    },
};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "claims-to-headers";

/// Sets headers, replacing those of the client.
#[derive(Clone, Debug)]
pub struct AddHeaders(Box<[ClaimMapping]>);

impl AddHeaders {
    /// The entries apply in the order of their names, as in .NET.
    pub fn new(entries: Vec<ClaimMapping>) -> AddHeaders {
        AddHeaders(in_dotnet_order(entries))
    }

    /// The headers that it sets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }
}

impl ConfiguredStage for AddHeaders {}

impl Stage for AddHeaders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let Exchange { request, client, scratch, .. } = exchange;
        for (name, source) in &self.0 {
            scratch.clear();
            if let Err(cause) = source.write(client.user.as_deref(), scratch) {
                return Step::Fail(cause);
            }
            let value = trim_ows(scratch);
            if !is_field_value(value) {
                let detail = format!("the claim {} is not a valid value of the header {name}", source.claim);
                return Step::Fail(GatewayError::new(ErrorCode::AccessClaim, detail));
            }
            request.set(name.as_bytes(), value);
        }
        Step::Next
    }

    fn describe(&self) -> String {
        describe(&self.0)
    }
}
