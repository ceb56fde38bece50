//! Authorization: `AllowedScopes`, `RouteClaimsRequirement` and `RouteClaimsExpression` (docs/ocelot-behavior.md,
//! section 16).
//!
//! - Elsewhere: Envoy's RBAC filter and `jwt_authn` requirements, ASP.NET authorization policies under YARP.
//! - Entry point: [`Authorization`], the stage. The caller is authenticated before; a missing permission is a 403.
//! - Callers: `plan::compile` compiles [`AuthorizationRules`], `plan::build` makes the stage.
//! - Owns: the rules and compiled CEL expressions. Nothing outlives a reload.

pub mod compile;
pub mod options;
mod expression;
mod variables;

pub use expression::{Expression, VARIABLES};

use super::feature::ConfiguredStage;
use crate::{
    base::percent::percent_decoded,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        identity::Identity,
        stage::{Stage, Step},
    },
};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "authorization";

/// The authorization rules of a route.
#[derive(Clone, Debug, Default)]
pub struct AuthorizationRules {
    /// One of these is required; empty: none.
    pub scopes: Vec<Box<str>>,
    /// Required claims, each with its allowed values.
    pub claims: Vec<(Box<str>, Vec<ClaimValue>)>,
    pub expression: Option<Expression>,
    /// As in Ocelot: only the claim `scope`, path values without percent-decoding.
    pub ocelot: bool,
}

/// An allowed value of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValue {
    Text(Box<str>),
    /// A parameter of the route; an unknown one matches no claim.
    Value {
        index: Option<usize>,
        name: Box<str>,
    },
}

/// The stage.
#[derive(Clone, Debug)]
pub struct Authorization(pub AuthorizationRules);

impl Authorization {
    /// The stage of these rules; none if there are no rules.
    pub fn of(rules: AuthorizationRules) -> Option<Authorization> {
        let is_empty = rules.scopes.is_empty() && rules.claims.is_empty() && rules.expression.is_none();
        (!is_empty).then_some(Authorization(rules))
    }
}

impl ConfiguredStage for Authorization {}

impl Stage for Authorization {
    fn name(&self) -> &'static str {
        NAME
    }

    /// A preflight has no credentials: it passes.
    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if exchange.request.method() == b"OPTIONS" {
            return Step::Next;
        }
        let result = self.0.check_scopes(exchange.client.user.as_deref());
        let result =
            result.and_then(|()| self.0.claims.iter().try_for_each(|rule| self.0.claim(rule, exchange)));
        match result
            .and_then(|()| self.0.expression.as_ref().map_or(Ok(()), |wanted| wanted.evaluate(exchange)))
        {
            Ok(()) => Step::Next,
            Err(cause) => Step::Fail(cause),
        }
    }

    fn describe(&self) -> String {
        let rules = &self.0;
        let mut parts = Vec::new();
        if !rules.scopes.is_empty() {
            parts.push(format!("one of the scopes {}", rules.scopes.join(", ")));
        }
        parts.extend(rules.claims.iter().map(|(claim, wanted)| {
            let wanted: Vec<_> = wanted.iter().map(ClaimValue::describe).collect();
            format!("the claim {claim} is {}", wanted.join(" or "))
        }));
        parts.extend(rules.expression.as_ref().map(|expression| expression.text().to_owned()));
        format!("requires {}", parts.join(", and "))
    }
}

impl AuthorizationRules {
    fn check_scopes(&self, user: Option<&Identity>) -> Result<(), GatewayError> {
        if self.scopes.is_empty() || user.is_some_and(|user| self.has_scope(user)) {
            return Ok(());
        }
        let detail = format!("the caller has none of the scopes {}", self.scopes.join(", "));
        Err(GatewayError::new(ErrorCode::AccessScope, detail))
    }

    /// Ocelot splits the claim only if it occurs once.
    fn has_scope(&self, user: &Identity) -> bool {
        let allowed = |scope: &str| self.scopes.iter().any(|one| **one == *scope);
        if self.ocelot && user.claim_values("scope").nth(1).is_some() {
            return user.claim_values("scope").any(allowed);
        }
        let short_name = if self.ocelot { "scope" } else { "scp" };
        let listed = |name: &str| user.claim_values(name).flat_map(|value| value.split(' ')).any(allowed);
        listed("scope") || listed(short_name)
    }

    fn claim(
        &self,
        (claim, wanted): &(Box<str>, Vec<ClaimValue>),
        exchange: &Exchange,
    ) -> Result<(), GatewayError> {
        let has_value = |wanted: &ClaimValue| {
            exchange.client.user.iter().any(|user| wanted.contains(user, claim, exchange, self.ocelot))
        };
        if wanted.iter().any(has_value) {
            return Ok(());
        }
        let detail = match &exchange.client.user {
            None => format!("the request is not authenticated and has no claim {claim}"),
            Some(user) if user.claim_value(claim).is_none() => format!("the caller has no claim {claim}"),
            Some(_) => format!("the value of the caller's claim {claim} is not allowed"),
        };
        Err(GatewayError::new(ErrorCode::AccessClaim, detail))
    }
}

impl ClaimValue {
    fn contains(&self, user: &Identity, claim: &str, exchange: &Exchange, ocelot: bool) -> bool {
        match self {
            ClaimValue::Text(text) => user.claim_values(claim).any(|value| *value == **text),
            ClaimValue::Value { index, .. } => {
                let value = index.and_then(|index| {
                    exchange.routing.path_params.get(index, exchange.request.routed_target())
                });
                let in_query =
                    value.is_some_and(|value| value.at.is_some_and(|at| at >= exchange.routing.path_len));
                value.is_some_and(|wanted| match ocelot || wanted.at.is_none() {
                    true => user.claim_values(claim).any(|value| value.as_bytes() == wanted.bytes),
                    false => {
                        let wanted = percent_decoded(wanted.bytes, in_query);
                        user.claim_values(claim).any(|value| value.as_bytes() == &*wanted)
                    }
                })
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            ClaimValue::Text(text) => format!("\"{text}\""),
            ClaimValue::Value { name, .. } => format!("{{{name}}}"),
        }
    }
}

#[cfg(test)]
mod tests;
