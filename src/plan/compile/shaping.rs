//! What a route does with fields and claims, resolved.

use super::headers::{HeaderReader, Way};
use crate::config::document::{OneOrMany, RouteDocument, Texts};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::plan::blueprint::shaping::Shaping;
use crate::plan::check::pending::Effective;
use crate::plan::check::{Outcome, Scope, Wrong, claims, filled, template, values};
use crate::plan::inherit::Authentication;
use crate::stages::authorization::{Expression, Rules, VARIABLES, Wanted};
use crate::stages::claims::Entry;
use crate::stages::headers::Changes;

/// Reads what concerns authorisation and transformation; `names` are those of the route's values, in their order.
pub fn shaping(scope: &Scope, effective: &Effective, names: &[Box<str>], out: &mut Diagnostics) -> Shaping {
    let (route, authentication) = (effective.route, effective.authentication.as_ref());
    let authentication = authentication.filter(|authentication| authentication.asked_for().is_some());
    let mut reader = Reader { scope, route, names, out };
    let shaping = Shaping {
        headers: reader.headers(),
        access: reader.access(authentication),
        add_claims: reader.entries("AddClaimsToRequest", &route.add_claims),
        add_headers: reader.headers_of_claims(),
        add_queries: reader.entries("AddQueriesToRequest", &route.add_queries),
        path_claims: reader.path_claims(),
    };
    if authentication.is_none() {
        reader.nobody();
    }
    shaping
}

struct Reader<'r, 'd> {
    scope: &'r Scope<'d>,
    route: &'r RouteDocument,
    names: &'r [Box<str>],
    out: &'r mut Diagnostics,
}

impl Reader<'_, '_> {
    fn headers(&mut self) -> Changes {
        let (route, global) = (self.route, self.scope.global);
        let mut reader = HeaderReader {
            way: Way::Request,
            ocelot: self.scope.ocelot,
            base_url: &super::base_url(self.scope),
            names: self.names,
            out: self.out,
            span: Span::default(),
        };
        let request = reader.read(&route.request_headers, &global.request_headers);
        reader.way = Way::Response;
        let response = reader.read(&route.response_headers, &global.response_headers);
        Changes { request, response }
    }

    fn entries(&mut self, setting: &str, map: &Texts) -> Vec<Entry> {
        claims::entries(self.out, self.scope.ocelot, setting, map)
    }

    fn headers_of_claims(&mut self) -> Vec<Entry> {
        let route = self.route;
        let keys = route.add_headers.iter().flat_map(|map| map.iter()).map(|(key, _)| key);
        let mut left_out = Vec::new();
        for key in keys.filter(|key| !values::is_token(key) || super::headers::is_framing(key)) {
            let message = format!("AddHeadersToRequest: the header \"{}\" cannot be set", key.value);
            Wrong::new(codes::BAD_HEADER_CHANGE, Outcome::Does("the entry is ignored"), message)
                .help("take the name of a header that does not frame messages, such as X-User")
                .report(self.out, self.scope.ocelot, key.span);
            left_out.push(key.value.as_str());
        }
        let mut entries = self.entries("AddHeadersToRequest", &route.add_headers);
        entries.retain(|(name, _)| !left_out.contains(&&**name));
        entries
    }

    fn path_claims(&mut self) -> Vec<Entry> {
        let route = self.route;
        let path = route.backend_path.as_ref().map_or("", |path| path.as_str());
        let there: Vec<&str> = template::placeholders(path).0.iter().map(|found| found.name).collect();
        for (key, _) in route.path_claims.iter().flat_map(|map| map.iter()) {
            if there.contains(&key.as_str()) {
                continue;
            }
            let message = format!("DownstreamPathTemplate has no placeholder {{{}}}", key.value);
            Wrong::new(codes::BAD_PATH_CLAIM, Outcome::Does("the route answers 403 or 404"), message)
                .meant(suggest::nearest(key, there.iter().copied()))
                .report(self.out, self.scope.ocelot, key.span);
        }
        self.entries("ChangeDownstreamPathTemplate", &route.path_claims)
    }

    fn access(&mut self, authentication: Option<&Authentication>) -> Rules {
        let route = self.route;
        let scopes = authentication.map_or(&[][..], |authentication| &authentication.scopes);
        let required = route.claims_required.iter().flat_map(|map| map.iter());
        let claims =
            required.map(|(claim, wanted)| (claim.as_str().into(), self.wanted(claim, wanted.as_ref())));
        Rules {
            claims: claims.collect(),
            scopes: scopes.iter().map(|scope| scope.as_str().into()).collect(),
            expression: self.expression(),
            ocelot: self.scope.ocelot,
        }
    }

    fn wanted(&mut self, claim: &Spanned<String>, wanted: Option<&Spanned<OneOrMany>>) -> Vec<Wanted> {
        let values = wanted.map_or(&[][..], |wanted| &wanted.0);
        if values.is_empty() {
            let span = wanted.map_or(claim.span, |wanted| wanted.span);
            let message = format!("RouteClaimsRequirement: no value of {} is good enough", claim.value);
            Wrong::new(
                codes::BAD_CLAIM_EXPRESSION,
                Outcome::Does("every request is refused with 403"),
                message,
            )
            .help("name a value, or leave the claim out")
            .report(self.out, self.scope.ocelot, span);
        }
        values.iter().map(|value| self.one_wanted(value)).collect()
    }

    /// Braces around the whole value make it a placeholder.
    fn one_wanted(&mut self, value: &Spanned<String>) -> Wanted {
        let inner = value.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let Some(name) = inner.filter(|name| !name.is_empty()) else {
            return Wanted::Text(value.as_str().into());
        };
        let index = self.names.iter().position(|known| **known == *name);
        if index.is_none() {
            let known = self.names.iter().map(|name| &**name);
            let meant = suggest::nearest(name, known).map(|name| format!("{{{name}}}"));
            let message = format!("nothing gives the placeholder {} a value", value.value);
            Wrong::new(
                codes::BAD_CLAIM_EXPRESSION,
                Outcome::Does("every request is refused with 403"),
                message,
            )
            .meant(meant.as_deref())
            .help("placeholders come from UpstreamPathTemplate and UpstreamHeaderTemplates")
            .report(self.out, self.scope.ocelot, value.span);
        }
        Wanted::Value { index, name: name.into() }
    }

    /// Ours, and so strict everywhere.
    fn expression(&mut self) -> Option<Expression> {
        let source = filled(&self.route.claims_expression)?;
        let wrong = match Expression::compile(source, self.names) {
            Ok(expression) => return Some(expression),
            Err(wrong) => wrong,
        };
        let message = format!("RouteClaimsExpression: {}", wrong.message);
        let said = self.out.error(codes::BAD_CLAIM_EXPRESSION, source.span, message);
        if let Some(meant) = wrong.unknown.as_deref().and_then(|name| suggest::nearest(name, VARIABLES)) {
            said.help(format!("did you mean \"{meant}\"?"));
        }
        said.help(format!("the variables are {}", VARIABLES.join(", ")));
        None
    }

    /// Claims of callers who never say who they are.
    fn nobody(&mut self) {
        let route = self.route;
        let maps = [&route.add_claims, &route.add_headers, &route.add_queries, &route.path_claims];
        let first = maps.iter().filter_map(|map| map.as_ref()?.iter().next()).map(|(key, _)| key.span);
        let required = route.claims_required.iter().flat_map(|map| map.iter()).map(|(key, _)| key.span);
        let Some(place) = first.chain(required).next() else { return };
        let message =
            "the route asks for claims, and not who the caller is: every request is refused with 403";
        self.out.warning(codes::NOBODY_TO_JUDGE, place, message).help(
            "name the scheme: \"AuthenticationOptions\": { \"AuthenticationProviderKeys\": [\"...\"] }",
        );
    }
}
