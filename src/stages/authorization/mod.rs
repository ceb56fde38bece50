//! Authorization: `AllowedScopes`, `RouteClaimsRequirement` and `RouteClaimsExpression` (docs/ocelot-behavior.md,
//! section 16).
//!
//! Who calls was settled before: what is missing here is a right, and the answer 403.

pub mod compile;
mod expression;
mod variables;

pub use expression::{Expression, VARIABLES};

use crate::{
    base::percent::percent_decoded,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        identity::Identity,
        stage::{Stage, Step},
    },
};

pub const NAME: &str = "authorization";

/// What a route asks of its callers; plain data.
#[derive(Clone, Debug, Default)]
pub struct AuthorizationRules {
    /// One of these; empty: none is asked for.
    pub scopes: Vec<Box<str>>,
    /// Claim and the values of which the caller needs one: all of these claims.
    pub claims: Vec<(Box<str>, Vec<ClaimValue>)>,
    pub expression: Option<Expression>,
    /// Ocelot's letter: only the claim `scope`, path values as they are spelled.
    pub ocelot: bool,
}

/// A value that a claim must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValue {
    Text(Box<str>),
    /// A value of the route; one that the route does not have is nobody's.
    Value {
        index: Option<usize>,
        name: Box<str>,
    },
}

impl AuthorizationRules {
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.claims.is_empty() && self.expression.is_none()
    }
}

/// Lets those pass who may.
#[derive(Debug)]
pub struct Authorization(AuthorizationRules);

impl Authorization {
    pub fn new(rules: AuthorizationRules) -> Authorization {
        Authorization(rules)
    }
}

impl Stage for Authorization {
    fn name(&self) -> &'static str {
        NAME
    }

    /// A preflight carries no proof of who asks: it passes.
    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if exchange.request.method() == b"OPTIONS" {
            return Step::Next;
        }
        let judged = self.0.scope(exchange.client.user.as_deref());
        let judged =
            judged.and_then(|()| self.0.claims.iter().try_for_each(|rule| self.0.claim(rule, exchange)));
        match judged
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
        format!("asks that {}", parts.join(", and "))
    }
}

impl AuthorizationRules {
    fn scope(&self, user: Option<&Identity>) -> Result<(), GatewayError> {
        if self.scopes.is_empty() || user.is_some_and(|user| self.has_scope(user)) {
            return Ok(());
        }
        let detail = format!("the caller has none of the scopes {}", self.scopes.join(", "));
        Err(GatewayError::new(ErrorCode::AccessScope, detail))
    }

    /// Ocelot splits a single claim only.
    fn has_scope(&self, user: &Identity) -> bool {
        let allowed = |scope: &str| self.scopes.iter().any(|one| **one == *scope);
        if self.ocelot && user.claim_values("scope").nth(1).is_some() {
            return user.claim_values("scope").any(allowed);
        }
        let own = if self.ocelot { "scope" } else { "scp" };
        let listed = |name: &str| user.claim_values(name).flat_map(|value| value.split(' ')).any(allowed);
        listed("scope") || listed(own)
    }

    fn claim(
        &self,
        (claim, wanted): &(Box<str>, Vec<ClaimValue>),
        exchange: &Exchange,
    ) -> Result<(), GatewayError> {
        let has = |wanted: &ClaimValue| {
            exchange.client.user.iter().any(|user| wanted.contains(user, claim, exchange, self.ocelot))
        };
        if wanted.iter().any(has) {
            return Ok(());
        }
        let detail = match &exchange.client.user {
            None => format!("nobody is known who could have the claim {claim}"),
            Some(user) if user.claim_value(claim).is_none() => format!("the caller has no claim {claim}"),
            Some(_) => format!("the caller's claim {claim} has another value than the one asked for"),
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
