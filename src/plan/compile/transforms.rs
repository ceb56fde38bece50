//! What a route does with fields and claims, resolved.

use super::header_transforms::{HeaderTransformCompiler, TransformSide};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::plan::blueprint::transforms::Transforms;
use crate::plan::check::unsupported::EffectiveOptions;
use crate::plan::check::{
    CheckContext, OcelotBehavior, OcelotTolerated, claims, non_blank, template, values,
};
use crate::plan::document::{OneOrMany, RouteDocument, StringList};
use crate::stages::authentication::options::ResolvedAuthentication;
use crate::stages::authorization::{AuthorizationRules, ClaimValue, Expression, VARIABLES};
use crate::stages::claims::ClaimMapping;
use crate::stages::header_transform::HeaderEdits;

/// Reads what concerns authorisation and transformation; `names` are those of the route's values, in their order.
pub fn transforms(
    scope: &CheckContext,
    effective: &EffectiveOptions,
    names: &[Box<str>],
    diagnostics: &mut Diagnostics,
) -> Transforms {
    let (route, authentication) = (effective.route, effective.authentication.as_ref());
    let authentication = authentication.filter(|authentication| authentication.is_required());
    let mut reader = TransformCompiler { scope, route, names, diagnostics: diagnostics };
    let shaping = Transforms {
        headers: reader.headers(),
        authorization: reader.authorization(authentication),
        add_claims: reader.entries("AddClaimsToRequest", &route.add_claims),
        add_headers: reader.headers_of_claims(),
        add_queries: reader.entries("AddQueriesToRequest", &route.add_queries),
        path_claims: reader.path_claims(),
    };
    if authentication.is_none() {
        reader.warn_unauthenticated_claims();
    }
    shaping
}

struct TransformCompiler<'r, 'd> {
    scope: &'r CheckContext<'d>,
    route: &'r RouteDocument,
    names: &'r [Box<str>],
    diagnostics: &'r mut Diagnostics,
}

impl TransformCompiler<'_, '_> {
    fn headers(&mut self) -> HeaderEdits {
        let (route, global) = (self.route, self.scope.global);
        let mut reader = HeaderTransformCompiler {
            way: TransformSide::Request,
            ocelot: self.scope.ocelot,
            base_url: &super::base_url(self.scope),
            names: self.names,
            diagnostics: self.diagnostics,
            span: Span::default(),
        };
        let request = reader.read(&route.request_headers, &global.request_headers);
        reader.way = TransformSide::Response;
        let response = reader.read(&route.response_headers, &global.response_headers);
        HeaderEdits { request, response }
    }

    fn entries(&mut self, setting: &str, map: &StringList) -> Vec<ClaimMapping> {
        claims::valid_entries(self.diagnostics, self.scope.ocelot, setting, map)
    }

    fn headers_of_claims(&mut self) -> Vec<ClaimMapping> {
        let route = self.route;
        let keys = route.add_headers.iter().flat_map(|map| map.iter()).map(|(key, _)| key);
        let mut left_out = Vec::new();
        for key in keys.filter(|key| !values::is_token(key) || super::header_transforms::is_framing(key)) {
            let message = format!("AddHeadersToRequest: the header \"{}\" cannot be set", key.value);
            OcelotTolerated::new(
                codes::BAD_HEADER_CHANGE,
                OcelotBehavior::Effect("the entry is ignored"),
                message,
            )
            .help("take the name of a header that does not frame messages, such as X-User")
            .report(self.diagnostics, self.scope.ocelot, key.span);
            left_out.push(key.value.as_str());
        }
        let mut entries = self.entries("AddHeadersToRequest", &route.add_headers);
        entries.retain(|(name, _)| !left_out.contains(&&**name));
        entries
    }

    fn path_claims(&mut self) -> Vec<ClaimMapping> {
        let route = self.route;
        let path = route.backend_path.as_ref().map_or("", |path| path.as_str());
        let there: Vec<&str> = template::placeholders(path).0.iter().map(|found| found.name).collect();
        for (key, _) in route.path_claims.iter().flat_map(|map| map.iter()) {
            if there.contains(&key.as_str()) {
                continue;
            }
            let message = format!("DownstreamPathTemplate has no placeholder {{{}}}", key.value);
            OcelotTolerated::new(
                codes::BAD_PATH_CLAIM,
                OcelotBehavior::Effect("the route answers 403 or 404"),
                message,
            )
            .did_you_mean(suggest::closest_match(key, there.iter().copied()))
            .report(self.diagnostics, self.scope.ocelot, key.span);
        }
        self.entries("ChangeDownstreamPathTemplate", &route.path_claims)
    }

    fn authorization(&mut self, authentication: Option<&ResolvedAuthentication>) -> AuthorizationRules {
        let route = self.route;
        let scopes = authentication.map_or(&[][..], |authentication| &authentication.scopes);
        let required = route.claims_required.iter().flat_map(|map| map.iter());
        let claims = required
            .map(|(claim, wanted)| (claim.as_str().into(), self.claim_requirements(claim, wanted.as_ref())));
        AuthorizationRules {
            claims: claims.collect(),
            scopes: scopes.iter().map(|scope| scope.as_str().into()).collect(),
            expression: self.expression(),
            ocelot: self.scope.ocelot,
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
            let message = format!("RouteClaimsRequirement: no value of {} is good enough", claim.value);
            OcelotTolerated::new(
                codes::BAD_CLAIM_EXPRESSION,
                OcelotBehavior::Effect("every request is refused with 403"),
                message,
            )
            .help("name a value, or leave the claim out")
            .report(self.diagnostics, self.scope.ocelot, span);
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
            let message = format!("nothing gives the placeholder {} a value", value.value);
            OcelotTolerated::new(
                codes::BAD_CLAIM_EXPRESSION,
                OcelotBehavior::Effect("every request is refused with 403"),
                message,
            )
            .did_you_mean(meant.as_deref())
            .help("placeholders come from UpstreamPathTemplate and UpstreamHeaderTemplates")
            .report(self.diagnostics, self.scope.ocelot, value.span);
        }
        ClaimValue::Value { index, name: name.into() }
    }

    /// Ours, and so strict everywhere.
    fn expression(&mut self) -> Option<Expression> {
        let source = non_blank(&self.route.claims_expression)?;
        let wrong = match Expression::compile(source, self.names) {
            Ok(expression) => return Some(expression),
            Err(wrong) => wrong,
        };
        let message = format!("RouteClaimsExpression: {}", wrong.message);
        let said = self.diagnostics.error(codes::BAD_CLAIM_EXPRESSION, source.span, message);
        if let Some(meant) = wrong.unknown.as_deref().and_then(|name| suggest::closest_match(name, VARIABLES))
        {
            said.help(format!("did you mean \"{meant}\"?"));
        }
        said.help(format!("the variables are {}", VARIABLES.join(", ")));
        None
    }

    /// Claims of callers who never say who they are.
    fn warn_unauthenticated_claims(&mut self) {
        let route = self.route;
        let maps = [&route.add_claims, &route.add_headers, &route.add_queries, &route.path_claims];
        let first = maps.iter().filter_map(|map| map.as_ref()?.iter().next()).map(|(key, _)| key.span);
        let required = route.claims_required.iter().flat_map(|map| map.iter()).map(|(key, _)| key.span);
        let Some(place) = first.chain(required).next() else { return };
        let message =
            "the route asks for claims, and not who the caller is: every request is refused with 403";
        self.diagnostics.warning(codes::NOBODY_TO_JUDGE, place, message).help(
            "name the scheme: \"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [\"...\"] }",
        );
    }
}
