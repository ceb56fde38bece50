//! `AllowedScopes`, `RouteClaimsRequirement` and `RouteClaimsExpression` → the rules.

use super::{AuthorizationRules, ClaimValue, Expression, VARIABLES};
use crate::config::values::{ListMap, OneOrMany, Setting, non_blank};
use crate::config::{Diagnostics, OcelotBehavior, OcelotTolerated, Spanned, codes, suggest};

/// Compiles the rules of one route.
pub struct AuthorizationCompiler<'r, 'o> {
    pub ocelot: bool,
    /// The names of the route's placeholders.
    pub names: &'r [Box<str>],
    pub diagnostics: &'o mut Diagnostics,
}

impl AuthorizationCompiler<'_, '_> {
    /// Compiles the rules: one of the scopes, all of the claims, and the expression.
    pub fn compile(
        &mut self,
        scopes: &[Spanned<String>],
        claims: &ListMap,
        expression: &Setting<String>,
    ) -> AuthorizationRules {
        let required = claims.iter().flat_map(|map| map.iter());
        let claims = required
            .map(|(claim, values)| (claim.as_str().into(), self.claim_requirements(claim, values.as_ref())));
        AuthorizationRules {
            claims: claims.collect(),
            scopes: scopes.iter().map(|scope| scope.as_str().into()).collect(),
            expression: self.expression(non_blank(expression)),
            ocelot: self.ocelot,
        }
    }

    fn claim_requirements(
        &mut self,
        claim: &Spanned<String>,
        wanted: Option<&Spanned<OneOrMany>>,
    ) -> Vec<ClaimValue> {
        let values = wanted.map_or(&[][..], |wanted| &wanted.0);
        if values.is_empty() {
            let span = wanted.map_or(claim.span, |wanted| wanted.span);
            let message = format!("RouteClaimsRequirement: the list of values of {} is empty", claim.value);
            OcelotTolerated::new(
                codes::BAD_CLAIM_EXPRESSION,
                OcelotBehavior::Effect("every request is rejected with 403"),
                message,
            )
            .help("add a value, or remove the claim")
            .report(self.diagnostics, self.ocelot, span);
        }
        values.iter().map(|value| self.claim_requirement(value)).collect()
    }

    /// Braces around the whole value make it a placeholder.
    fn claim_requirement(&mut self, value: &Spanned<String>) -> ClaimValue {
        let inner = value.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let Some(name) = inner.filter(|name| !name.is_empty()) else {
            return ClaimValue::Text(value.as_str().into());
        };
        let index = self.names.iter().position(|known| **known == *name);
        if index.is_none() {
            let known = self.names.iter().map(|name| &**name);
            let meant = suggest::closest_match(name, known).map(|name| format!("{{{name}}}"));
            let message = format!("unknown placeholder {}", value.value);
            OcelotTolerated::new(
                codes::BAD_CLAIM_EXPRESSION,
                OcelotBehavior::Effect("every request is rejected with 403"),
                message,
            )
            .did_you_mean(meant.as_deref())
            .help("placeholders come from UpstreamPathTemplate and UpstreamHeaderTemplates")
            .report(self.diagnostics, self.ocelot, value.span);
        }
        ClaimValue::Value { index, name: name.into() }
    }

    /// Our own setting, so it is strict in both modes.
    fn expression(&mut self, source: Option<&Spanned<String>>) -> Option<Expression> {
        let source = source?;
        let error = match Expression::compile(source, self.names) {
            Ok(expression) => return Some(expression),
            Err(error) => error,
        };
        let message = format!("RouteClaimsExpression: {}", error.message);
        let diagnostic = self.diagnostics.error(codes::BAD_CLAIM_EXPRESSION, source.span, message);
        if let Some(meant) = error.unknown.as_deref().and_then(|name| suggest::closest_match(name, VARIABLES))
        {
            diagnostic.help(format!("did you mean \"{meant}\"?"));
        }
        diagnostic.help(format!("available variables: {}", VARIABLES.join(", ")));
        None
    }
}
