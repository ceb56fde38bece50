//! One aggregate of the document → one route of the blueprint that has parts.

use super::ranges::Ranges;
use super::route::{self, Around};
use super::schemes::Schemes;
use crate::config::document::{
    AggregateDocument, GlobalDocument, MemberCall, RouteDocument, Set, Texts, Wait,
};
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::plan::aggregate::compose::Form;
use crate::plan::aggregate::json_path::JsonPath;
use crate::plan::aggregate::template::{Escaping, Template};
use crate::plan::aggregate::{AggregateBlueprint, PartBlueprint, PartTerms, Shape};
use crate::plan::blueprint::RouteBlueprint;
use crate::plan::check::aggregates::is_template;
use crate::plan::check::{Outcome, Scope, Wrong, filled, items};
use crate::plan::inherit;
use crate::plan::routing::{RouteSpec, RoutingRules};
use std::collections::HashSet;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const MOST: u64 = 1 << 30;

/// Reads the aggregates, which stand behind the routes. One that Ocelot leaves out is left out.
pub fn aggregates(
    scope: &Scope,
    around: &Around,
    schemes: &Schemes,
    rules: &RoutingRules,
    routes: &[RouteBlueprint],
    out: &mut Diagnostics,
) -> Vec<(RouteBlueprint, Option<RouteSpec>)> {
    let nothing = GlobalDocument::default();
    let bare = scope.without_global(&nothing);
    let mut all = Vec::new();
    for (index, written) in scope.aggregates().iter().enumerate() {
        let mut reader = Reader { scope, bare: &bare, around, schemes, rules, routes, written, out };
        all.extend(reader.read(index, routes.len() + all.len()));
    }
    all
}

struct Reader<'r, 'd> {
    scope: &'r Scope<'d>,
    bare: &'r Scope<'d>,
    around: &'r Around<'d>,
    schemes: &'r Schemes<'d>,
    rules: &'r RoutingRules,
    routes: &'r [RouteBlueprint],
    written: &'r Spanned<AggregateDocument>,
    out: &'r mut Diagnostics,
}

impl Reader<'_, '_> {
    fn read(&mut self, index: usize, place: usize) -> Option<(RouteBlueprint, Option<RouteSpec>)> {
        let (mut route, spec) = self.outside(index, place);
        let names: Vec<Box<str>> = spec
            .iter()
            .flat_map(|spec| spec.template.names().iter().chain(spec.headers.names()))
            .cloned()
            .collect();
        let shape = self.shape();
        let parts = self.parts(&names)?;
        route.aggregate = Some(Box::new(AggregateBlueprint { parts, shape }));
        Some((route, spec))
    }

    /// Which requests it takes and whom it lets in: as a route.
    fn outside(&mut self, index: usize, place: usize) -> (RouteBlueprint, Option<RouteSpec>) {
        let document = Spanned { value: as_route(self.written, self.scope.ocelot), span: self.written.span };
        let mut said = Diagnostics::default();
        let (mut route, spec) =
            route::without_service(self.bare, self.around, self.rules, (index, place), &document, &mut said);
        // The path is judged by the rules of aggregates.
        let of_path = [codes::PATH_MISSING, codes::PATH_WITHOUT_SLASH, codes::PATH_DOUBLE_SLASH];
        let of_path =
            [&of_path[..], &[codes::PATH_WITH_SCHEME, codes::BAD_TEMPLATE, codes::REPEATED_PLACEHOLDER]]
                .concat();
        self.out.list.extend(said.list.into_iter().filter(|said| !of_path.contains(&said.code)));
        route.authentication = self.schemes.of(self.bare, &document);
        let id = inherit::request_id_key(&None, &self.scope.global.request_id_key);
        route.request_id_key =
            id.map(|id| crate::plan::blueprint::Sourced::new(id.value.clone(), Some(id.span)));
        (route, spec)
    }

    /// The routes that it calls, each as it is within the aggregate; none if one does not exist.
    fn parts(&mut self, names: &[Box<str>]) -> Option<Vec<PartBlueprint>> {
        self.stray_calls();
        let (mut parts, mut seen) = (Vec::new(), HashSet::new());
        let keys = items(&self.written.route_keys);
        for key in keys.iter().filter(|key| seen.insert(key.as_str())) {
            let mut routes = self.scope.routes().iter().enumerate();
            let (index, route) =
                routes.find(|(_, route)| route.key.as_ref().is_some_and(|k| k.value == key.value))?;
            parts.push(self.part(key, parts.is_empty(), index, route, names));
        }
        Some(parts)
    }

    fn part(
        &mut self,
        key: &str,
        first: bool,
        index: usize,
        route: &Spanned<RouteDocument>,
        names: &[Box<str>],
    ) -> PartBlueprint {
        let call = items(&self.written.route_keys_config).iter().find(|call| is_for(call, key));
        let terms = self.terms(key, first, call, names);
        let mut names = names.to_vec();
        if let (Some(parameter), Some(_)) = (call.and_then(|call| filled(&call.parameter)), &terms.values) {
            names.push(parameter.as_str().into());
        }
        let mut said = Diagnostics::default();
        let mut inner = route::part(self.scope, self.around, &names, index, route, &mut said);
        inner.cluster = self.routes[index].cluster.clone();
        inner.authentication = self.schemes.of(self.scope, route);
        self.only_here(said);
        PartBlueprint { route: Box::new(inner), names, terms }
    }

    /// What is wrong with a route only where the aggregate calls it.
    fn only_here(&mut self, said: Diagnostics) {
        for mut said in said.list {
            let same = |other: &crate::config::Diagnostic| {
                other.code == said.code && other.span == said.span && other.message == said.message
            };
            if self.out.list.iter().any(same) {
                continue;
            }
            if said.code != codes::UNKNOWN_PLACEHOLDER {
                said.severity = crate::config::Severity::Warning;
            }
            let place = self.scope.sources.place(self.written.span);
            said.help.push(format!("this is so where the aggregate at {place} calls the route"));
            self.out.list.push(said);
        }
    }

    fn terms(
        &mut self,
        key: &str,
        first: bool,
        call: Option<&Spanned<MemberCall>>,
        names: &[Box<str>],
    ) -> PartTerms {
        let nothing = MemberCall::default();
        let usual = self.size("MaxPartSize", &self.written.max_part_size, 4 * MIB);
        let values = call.filter(|_| !first).and_then(|call| self.values(call, names));
        let call = call.map_or(&nothing, |call| &call.value);
        let mut ranges = Ranges::of("RouteKeysConfig", self.out);
        let calls = ranges.count("MaxCalls", &call.max_calls, 10_000).unwrap_or(100) as usize;
        let at_one_time = ranges.count("MaxConcurrency", &call.max_concurrency, 1_000).unwrap_or(16) as usize;
        PartTerms {
            key: key.into(),
            values,
            optional: call.optional.as_ref().is_some_and(|on| on.value),
            timeout: self.timeout(&call.timeout),
            most: self.size("MaxSize", &call.max_size, usual as u64),
            calls,
            at_one_time,
        }
    }

    /// Where the values of a call stand; none if it does not depend on any.
    fn values(&mut self, call: &Spanned<MemberCall>, names: &[Box<str>]) -> Option<JsonPath> {
        let parameter = filled(&call.parameter);
        let Some(path) = filled(&call.json_path) else {
            if let Some(parameter) = parameter {
                self.bad_call(
                    parameter.span,
                    "there is no JsonPath that says where the values of the parameter stand",
                );
            } else if says_nothing(call) {
                self.bad_call(call.span, "the entry says nothing about its route");
            }
            return None;
        };
        match parameter {
            None => self.bad_call(path.span, "there is no Parameter that takes the values"),
            Some(name) if names.iter().any(|known| **known == *name.value) => {
                let message = format!(
                    "the parameter \"{}\" has the name of a placeholder of the aggregate",
                    name.value
                );
                let result = Outcome::Does("the placeholder of the aggregate counts");
                let wrong =
                    Wrong::new(codes::AGGREGATE_CALL, result, message).help("give it a name of its own");
                wrong.report(self.out, self.scope.ocelot, name.span);
            }
            Some(_) => {}
        }
        JsonPath::parse(path)
            .map_err(|mistake| {
                let message = format!("JsonPath \"{}\": {mistake}", path.value);
                let wrong = Wrong::new(codes::BAD_JSON_PATH, Outcome::Answers(500), message);
                wrong.report(self.out, self.scope.ocelot, path.span);
            })
            .ok()
    }

    /// Entries for no route, for the first one, or for one that has an entry already.
    fn stray_calls(&mut self) {
        let keys = items(&self.written.route_keys);
        let mut seen = HashSet::new();
        for call in items(&self.written.route_keys_config) {
            let Some(key) = &call.route_key else {
                self.bad_call(call.span, "the entry names no RouteKey");
                continue;
            };
            let depends = call.json_path.as_ref().or(call.parameter.as_ref());
            if !keys.iter().any(|known| known.value == key.value) {
                self.bad_call(
                    key.span,
                    &format!("\"{}\" is none of the RouteKeys of the aggregate", key.value),
                );
            } else if !seen.insert(key.as_str()) {
                self.bad_call(key.span, &format!("there are two entries for \"{}\"", key.value));
            } else if let Some(depends) =
                depends.filter(|_| keys.first().is_some_and(|first| first.value == key.value))
            {
                self.bad_call(
                    depends.span,
                    "values are taken from the answer of the first route, for the others",
                );
            }
        }
    }

    /// Ocelot looks at such an entry only when there is a request, if at all.
    fn bad_call(&mut self, span: Span, message: &str) {
        let result = Outcome::Does("the entry is ignored, or the aggregate answers 500");
        let wrong = Wrong::new(codes::AGGREGATE_CALL, result, format!("RouteKeysConfig: {message}"));
        wrong.report(self.out, self.scope.ocelot, span);
    }

    fn shape(&mut self) -> Shape {
        let written = self.written;
        let name = filled(&written.aggregator);
        let unserved = name
            .filter(|name| !is_template(name))
            .map(|name| format!("there is no aggregator \"{}\"", name.value));
        Shape {
            ocelot: self.scope.ocelot,
            forms: self.forms(name.filter(|name| is_template(name)), &written.formats),
            unserved,
            timeout: self.timeout(&written.timeout),
            most: self.size("MaxSize", &written.max_size, 16 * MIB),
            most_of_request: self.size(
                "MaxRequestBodySize",
                &written.max_request_body_size,
                if self.scope.ocelot { super::own::OCELOT_BODY } else { MIB },
            ),
        }
    }

    fn forms(&mut self, json: Option<&Spanned<String>>, formats: &Texts) -> Vec<Form> {
        let mut forms = vec![match json {
            Some(source) => Form { template: self.template(source, Escaping::Json), ..Form::object() },
            None => Form::object(),
        }];
        for (media, source) in formats.iter().flat_map(|map| map.iter()) {
            if !is_media_type(media) {
                let message = format!("\"{}\" is not a media type", media.value);
                let said = self.out.error(codes::BAD_AGGREGATE_TEMPLATE, media.span, message);
                said.help(
                    "such as text/html; charset=utf-8; the template for application/json is Aggregator",
                );
            }
            let Some(source) = source else { continue };
            let template = self.template(source, Escaping::of(media));
            forms.push(Form { media: media.as_str().into(), template });
        }
        forms
    }

    /// Ours, and so strict everywhere.
    fn template(&mut self, source: &Spanned<String>, escaping: Escaping) -> Option<Template> {
        Template::compile(source, escaping)
            .map_err(|mistake| {
                let message = format!("the template of the aggregate, {mistake}");
                let said = self.out.error(codes::BAD_AGGREGATE_TEMPLATE, source.span, message);
                said.help(
                    "it may speak of parts (key → body), values (placeholder → value) and missing (keys)",
                );
            })
            .ok()
    }

    fn size(&mut self, name: &str, set: &Set<crate::base::units::SizeText>, usual: u64) -> usize {
        Ranges::of("Aggregates", self.out).size(name, set, usual, 1, MOST)
    }

    fn timeout(&mut self, set: &Set<Wait>) -> Option<Duration> {
        let written = set.as_ref()?;
        let time = written.positive();
        if time.is_none() {
            let said = self.out.error(codes::BAD_TIMEOUT, written.span, "a Timeout of zero or less");
            said.help("write a time greater than zero, or leave it out");
        }
        time
    }
}

fn is_for(call: &MemberCall, key: &str) -> bool {
    call.route_key.as_ref().is_some_and(|of| of.value == key)
}

fn says_nothing(call: &MemberCall) -> bool {
    call.optional.is_none()
        && call.timeout.is_none()
        && call.max_size.is_none()
        && call.max_calls.is_none()
        && call.max_concurrency.is_none()
}

/// `type/subtype`, perhaps with parameters; not that of the first form.
fn is_media_type(text: &str) -> bool {
    let kind = text.split(';').next().unwrap_or_default().trim();
    let token = |part: &str| crate::base::bytes::is_token(part.as_bytes()) && part != "*";
    let sound = kind.split_once('/').is_some_and(|(kind, of)| token(kind) && token(of));
    let plain = text.bytes().all(|b| matches!(b, b' '..=b'~'));
    sound && plain && !kind.eq_ignore_ascii_case("application/json")
}

/// What an aggregate and a route have in common. To Ocelot GET is always among the methods (measured).
fn as_route(written: &AggregateDocument, ocelot: bool) -> RouteDocument {
    let mut methods = written.methods.clone().filter(|methods| !methods.is_empty());
    let span = methods.as_ref().map_or(Span::default(), |methods| methods.span);
    let list = methods.get_or_insert_with(|| Spanned { value: Vec::new(), span });
    if list.is_empty() || ocelot && !list.iter().any(|method| method.eq_ignore_ascii_case("GET")) {
        list.value.push(Spanned { value: "GET".to_owned(), span });
    }
    RouteDocument {
        client_path: written.client_path.clone(),
        methods,
        host: written.host.clone(),
        header_templates: written.header_templates.clone(),
        listeners: written.listeners.clone(),
        case_sensitive: written.case_sensitive.clone(),
        priority: written.priority.clone(),
        key: written.key.clone(),
        authentication: written.authentication.clone(),
        rate_limit: written.rate_limit.clone(),
        concurrency: written.concurrency.clone(),
        cors: written.cors.clone(),
        compression: written.compression.clone(),
        security: written.security.clone(),
        response_headers: written.response_headers.clone(),
        ..RouteDocument::default()
    }
}
