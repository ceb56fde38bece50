//! How a route changes the fields of requests and responses, and what it adds from the caller's claims.

use crate::pipeline::stage::BoxStage;
use crate::stages::authorization::{Authorization, AuthorizationRules};
use crate::stages::claims::{AddClaims, AddHeaders, AddQueries, ChangePath, ClaimMapping};
use crate::stages::header_transform::{HeaderEdits, Headers};

/// The resolved settings of authorization and transformation.
#[derive(Clone, Debug, Default)]
pub struct Transforms {
    pub headers: HeaderEdits,
    pub authorization: AuthorizationRules,
    pub add_claims: Vec<ClaimMapping>,
    pub add_headers: Vec<ClaimMapping>,
    pub add_queries: Vec<ClaimMapping>,
    pub path_claims: Vec<ClaimMapping>,
}

impl Transforms {
    /// The stages of these settings; `template` is `DownstreamPathTemplate`.
    pub fn stages(&self, template: &str, ocelot: bool) -> Vec<BoxStage> {
        let own = self.clone();
        let mut stages: Vec<BoxStage> = Vec::new();
        let mut add = |wanted: bool, stage: BoxStage| stages.extend(wanted.then_some(stage));
        add(!self.headers.is_empty(), Box::new(Headers::new(own.headers)));
        add(!self.add_claims.is_empty(), Box::new(AddClaims::new(own.add_claims)));
        add(!self.authorization.is_empty(), Box::new(Authorization::new(own.authorization)));
        add(!self.add_headers.is_empty(), Box::new(AddHeaders::new(own.add_headers)));
        add(!self.add_queries.is_empty(), Box::new(AddQueries::new(own.add_queries, ocelot)));
        add(!self.path_claims.is_empty(), Box::new(ChangePath::new(own.path_claims, template)));
        stages
    }
}
