//! `AddClaimsToRequest`: adds claims from claims, before authorization.

use super::mapping::{ClaimMapping, describe, in_dotnet_order};
use crate::pipeline::{
    exchange::Exchange,
    stage::{Stage, Step},
};
use crate::stages::feature::ConfiguredStage;
use std::sync::Arc;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "claims-to-claims";

/// Adds claims to the caller; each replaces the first claim of its type.
#[derive(Clone, Debug)]
pub struct AddClaims(Box<[ClaimMapping]>);

impl AddClaims {
    /// The entries apply in the order of their names, as in .NET.
    pub fn new(entries: Vec<ClaimMapping>) -> AddClaims {
        AddClaims(in_dotnet_order(entries))
    }
}

impl ConfiguredStage for AddClaims {}

impl Stage for AddClaims {
    fn name(&self) -> &'static str {
        NAME
    }

    /// The identity is shared with other requests with the same token: this request gets a copy.
    fn on_request(&self, exchange: &mut Exchange) -> Step {
        for (name, source) in &self.0 {
            exchange.scratch.clear();
            if let Err(cause) = source.write(exchange.client.user.as_deref(), &mut exchange.scratch) {
                return Step::Fail(cause);
            }
            if let Some(user) = &mut exchange.client.user {
                Arc::make_mut(user).replace(name, &String::from_utf8_lossy(&exchange.scratch));
            }
        }
        Step::Next
    }

    fn describe(&self) -> String {
        describe(&self.0)
    }
}
