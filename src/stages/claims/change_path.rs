//! `ChangeDownstreamPathTemplate`: sets placeholders of the backend path from claims.

use super::{
    mapping::{ClaimMapping, describe, in_dotnet_order},
    source::ClaimSource,
};
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    exchange::Exchange,
    stage::{Stage, Step},
};
use crate::stages::feature::ConfiguredStage;
use std::sync::Arc;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "claims-to-path";

/// Sets placeholders to the value of a claim, overriding the value from the path.
#[derive(Clone, Debug)]
pub struct ChangePath(Box<[(Arc<str>, ClaimSource, bool)]>);

impl ChangePath {
    /// `template` is `DownstreamPathTemplate`: a placeholder that it does not have is a 404, as in Ocelot.
    pub fn new(entries: Vec<ClaimMapping>, template: &str) -> ChangePath {
        let entries = in_dotnet_order(entries).into_iter().map(|(name, source)| {
            let exists = template.contains(&format!("{{{name}}}"));
            (Arc::from(name), source, exists)
        });
        ChangePath(entries.collect())
    }
}

impl ConfiguredStage for ChangePath {}

impl Stage for ChangePath {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        for (name, source, exists) in &self.0 {
            exchange.scratch.clear();
            if let Err(cause) = source.write(exchange.client.user.as_deref(), &mut exchange.scratch) {
                return Step::Fail(cause);
            }
            if !exists {
                let detail = format!("DownstreamPathTemplate has no placeholder {{{name}}}");
                return Step::Fail(GatewayError::new(ErrorCode::RouteUnsupported, detail));
            }
            exchange.routing.path_params.set(name.clone(), &exchange.scratch);
        }
        Step::Next
    }

    fn describe(&self) -> String {
        let entries: Vec<ClaimMapping> =
            self.0.iter().map(|(name, source, _)| ((&**name).into(), source.clone())).collect();
        describe(&entries)
    }
}
