//! Compiles how a route changes fields and uses claims.

use crate::config::{Diagnostics, Span, codes, suggest};
use crate::plan::check::unsupported::EffectiveOptions;
use crate::plan::check::{CheckContext, OcelotBehavior, OcelotTolerated, template, values};
use crate::plan::document::{RouteDocument, StringList};
use crate::stages::StageConfigs;
use crate::stages::authentication::options::ResolvedAuthentication;
use crate::stages::authorization::{Authorization, AuthorizationRules, compile::AuthorizationCompiler};
use crate::stages::claims::{
    AddClaims, AddHeaders, AddQueries, ChangePath, ClaimMapping, compile::compile_mappings,
};
use crate::stages::header_transform::compile::{HeaderTransformCompiler, TransformSide, is_framing};
use crate::stages::header_transform::{HeaderEdits, Headers};

/// Compiles authorization and transformation; `names` are those of the route's values, in their order.
pub fn compile(
    scope: &CheckContext,
    effective: &EffectiveOptions,
    names: &[Box<str>],
    stages: &mut StageConfigs,
    diagnostics: &mut Diagnostics,
) {
    let (route, authentication) = (effective.route, effective.authentication.as_ref());
    let authentication = authentication.filter(|authentication| authentication.is_required());
    let mut reader = TransformCompiler { scope, route, names, diagnostics };
    let (path, ocelot) = (route.backend_path.as_ref().map_or("", |path| path.as_str()), scope.ocelot);
    stages.header_transform = Headers::of(reader.headers());
    stages.authorization = Authorization::of(reader.authorization(authentication));
    let add_claims = reader.entries("AddClaimsToRequest", &route.add_claims);
    stages.add_claims = add_claims.map(AddClaims::new);
    stages.add_headers = reader.headers_of_claims().map(AddHeaders::new);
    let add_queries = reader.entries("AddQueriesToRequest", &route.add_queries);
    stages.add_queries = add_queries.map(|entries| AddQueries::new(entries, ocelot));
    stages.change_path = reader.path_claims(path).map(|entries| ChangePath::new(entries, path));
    if authentication.is_none() {
        reader.warn_unauthenticated_claims();
    }
}

/// The entries; none: no stage.
type Mappings = Option<Vec<ClaimMapping>>;

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
            side: TransformSide::Request,
            ocelot: self.scope.ocelot,
            base_url: &self.scope.base_url(),
            names: self.names,
            diagnostics: self.diagnostics,
            span: Span::default(),
        };
        let request = reader.read(&route.request_headers, &global.request_headers);
        reader.side = TransformSide::Response;
        let response = reader.read(&route.response_headers, &global.response_headers);
        HeaderEdits { request, response }
    }

    fn entries(&mut self, setting: &str, map: &StringList) -> Mappings {
        Some(compile_mappings(self.diagnostics, self.scope.ocelot, setting, map))
            .filter(|all| !all.is_empty())
    }

    fn headers_of_claims(&mut self) -> Mappings {
        let route = self.route;
        let keys = route.add_headers.iter().flat_map(|map| map.iter()).map(|(key, _)| key);
        let mut left_out = Vec::new();
        for key in keys.filter(|key| !values::is_token(key) || is_framing(key)) {
            let message = format!("invalid header \"{}\" in AddHeadersToRequest", key.value);
            OcelotTolerated::new(
                codes::BAD_HEADER_CHANGE,
                OcelotBehavior::Effect("the entry is ignored"),
                message,
            )
            .help("must be a header name that is not a framing field, such as X-User")
            .report(self.diagnostics, self.scope.ocelot, key.span);
            left_out.push(key.value.as_str());
        }
        let mut entries = self.entries("AddHeadersToRequest", &route.add_headers)?;
        entries.retain(|(name, _)| !left_out.contains(&&**name));
        Some(entries).filter(|entries| !entries.is_empty())
    }

    fn path_claims(&mut self, path: &str) -> Mappings {
        let route = self.route;
        let there: Vec<&str> = template::placeholders(path).0.iter().map(|found| found.name).collect();
        for (key, _) in route.path_claims.iter().flat_map(|map| map.iter()) {
            if there.contains(&key.as_str()) {
                continue;
            }
            let message = format!("DownstreamPathTemplate has no placeholder {{{}}}", key.value);
            OcelotTolerated::new(
                codes::BAD_PATH_CLAIM,
                OcelotBehavior::Effect("the response is 403 or 404"),
                message,
            )
            .did_you_mean(suggest::closest_match(key, there.iter().copied()))
            .report(self.diagnostics, self.scope.ocelot, key.span);
        }
        self.entries("ChangeDownstreamPathTemplate", &route.path_claims)
    }

    fn authorization(&mut self, authentication: Option<&ResolvedAuthentication>) -> AuthorizationRules {
        let scopes = authentication.map_or(&[][..], |authentication| &authentication.scopes);
        let (ocelot, names, route) = (self.scope.ocelot, self.names, self.route);
        AuthorizationCompiler { ocelot, names, diagnostics: self.diagnostics }.compile(
            scopes,
            &route.claims_required,
            &route.claims_expression,
        )
    }

    /// Claims require authentication.
    fn warn_unauthenticated_claims(&mut self) {
        let route = self.route;
        let maps = [&route.add_claims, &route.add_headers, &route.add_queries, &route.path_claims];
        let first = maps.iter().filter_map(|map| map.as_ref()?.iter().next()).map(|(key, _)| key.span);
        let required = route.claims_required.iter().flat_map(|map| map.iter()).map(|(key, _)| key.span);
        let Some(span) = first.chain(required).next() else { return };
        let message = "the route requires claims but no authentication: every request is rejected with 403";
        self.diagnostics
            .warning(codes::CLAIMS_WITHOUT_AUTHENTICATION, span, message)
            .help("set the scheme: \"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [\"...\"] }");
    }
}
