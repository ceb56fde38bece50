//! `ChangeDownstreamPathTemplate`: placeholders of the service's path out of claims.

use super::{ClaimMapping, ClaimSource, describe};
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    exchange::Exchange,
    stage::{Stage, Step},
};
use std::sync::Arc;

pub const NAME: &str = "claims-to-path";

/// Gives placeholders the value of a claim, whatever the path says.
#[derive(Debug)]
pub struct ChangePath(Box<[(Arc<str>, ClaimSource, bool)]>);

impl ChangePath {
    /// `template` is `DownstreamPathTemplate`: a placeholder that it does not have is a 404 under Ocelot.
    pub fn new(entries: Vec<ClaimMapping>, template: &str) -> ChangePath {
        let entries = super::in_dotnet_order(entries).into_iter().map(|(name, source)| {
            let there = template.contains(&format!("{{{name}}}"));
            (Arc::from(name), source, there)
        });
        ChangePath(entries.collect())
    }
}

impl Stage for ChangePath {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        for (name, source, there) in &self.0 {
            exchange.scratch.clear();
            if let Err(cause) = source.write(exchange.client.user.as_deref(), &mut exchange.scratch) {
                return Step::Fail(cause);
            }
            if !there {
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
