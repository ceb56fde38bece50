//! One aggregate of the document → one route of the blueprint that has parts.

use super::{route, route_compiler::DocumentContext};
use crate::base::json_path::JsonPath;
use crate::config::ranges::RangeChecker;
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::plan::aggregate::compose::Representation;
use crate::plan::aggregate::template::{Escaping, Template};
use crate::plan::aggregate::{AggregateConfig, PartTerms};
use crate::plan::blueprint::{AggregateBlueprint, PartBlueprint, RouteBlueprint};
use crate::plan::check::aggregates::is_template;
use crate::plan::check::{CheckContext, OcelotBehavior, OcelotTolerated, items, non_blank};
use crate::plan::document::{
    AggregateDocument, DurationSetting, GlobalDocument, RouteDocument, RouteKeyConfigDocument, Setting,
    StringList,
};
use crate::plan::inherit;
use crate::plan::routing::{RouteSpec, RoutingRules};
use crate::plan::stage_options;
use std::collections::HashSet;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const MAX_CALLS: u64 = 1 << 30;

/// Compiles the aggregates, which follow the routes. An aggregate that Ocelot ignores is left out.
pub fn aggregates(
    scope: &CheckContext,
    context: &DocumentContext,
    rules: &RoutingRules,
    routes: &[RouteBlueprint],
    diagnostics: &mut Diagnostics,
) -> Vec<(RouteBlueprint, Option<RouteSpec>)> {
    let nothing = GlobalDocument::default();
    let bare = scope.for_aggregates(&nothing);
    let mut all = Vec::new();
    for (index, document) in scope.aggregates().iter().enumerate() {
        let mut reader = AggregateCompiler {
            scope,
            unresolved_routes: &bare,
            context,
            rules,
            routes,
            document,
            diagnostics,
        };
        all.extend(reader.read(index, routes.len() + all.len()));
    }
    all
}

struct AggregateCompiler<'r, 'd> {
    scope: &'r CheckContext<'d>,
    unresolved_routes: &'r CheckContext<'d>,
    context: &'r DocumentContext<'d>,
    rules: &'r RoutingRules,
    routes: &'r [RouteBlueprint],
    document: &'r Spanned<AggregateDocument>,
    diagnostics: &'r mut Diagnostics,
}

impl AggregateCompiler<'_, '_> {
    fn read(&mut self, index: usize, position: usize) -> Option<(RouteBlueprint, Option<RouteSpec>)> {
        let (mut route, spec) = self.compile_matcher(index, position);
        let names: Vec<Box<str>> = spec
            .iter()
            .flat_map(|spec| spec.template.names().iter().chain(spec.headers.names()))
            .cloned()
            .collect();
        let shape = self.config();
        let parts = self.parts(&names)?;
        route.aggregate = Some(Box::new(AggregateBlueprint { parts, shape }));
        Some((route, spec))
    }

    /// Which requests the aggregate matches, and its access rules: as for a route.
    fn compile_matcher(&mut self, index: usize, position: usize) -> (RouteBlueprint, Option<RouteSpec>) {
        let document =
            Spanned { value: to_route_document(self.document, self.scope.ocelot), span: self.document.span };
        let mut collected = Diagnostics::default();
        let (mut route, spec) = route::compile_without_backend(
            self.unresolved_routes,
            self.context,
            self.rules,
            (index, position),
            &document,
            &mut collected,
        );
        // The path is checked by the rules of aggregates.
        let of_path = [codes::PATH_MISSING, codes::PATH_WITHOUT_SLASH, codes::PATH_DOUBLE_SLASH];
        let of_path =
            [&of_path[..], &[codes::PATH_WITH_SCHEME, codes::BAD_TEMPLATE, codes::REPEATED_PLACEHOLDER]]
                .concat();
        self.diagnostics
            .list
            .extend(collected.list.into_iter().filter(|diagnostic| !of_path.contains(&diagnostic.code)));
        let id = inherit::request_id_key(&None, &self.scope.global.request_id_key);
        route.stages.request_id = id.cloned();
        (route, spec)
    }

    /// The routes that the aggregate calls, each within the aggregate; `None` if one does not exist.
    fn parts(&mut self, names: &[Box<str>]) -> Option<Vec<PartBlueprint>> {
        self.report_unused_calls();
        let (mut parts, mut seen) = (Vec::new(), HashSet::new());
        let keys = items(&self.document.route_keys);
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
        let call = items(&self.document.route_keys_config).iter().find(|call| is_for(call, key));
        let terms = self.part_config(key, first, call, names);
        let mut names = names.to_vec();
        if let (Some(parameter), Some(_)) = (call.and_then(|call| non_blank(&call.parameter)), &terms.values)
        {
            names.push(parameter.as_str().into());
        }
        let mut collected = Diagnostics::default();
        let mut inner = route::compile_part(self.scope, self.context, &names, index, route, &mut collected);
        inner.cluster = self.routes[index].cluster.clone();
        inner.stages.cache = None;
        self.check_part(collected);
        PartBlueprint { route: Box::new(inner), placeholder_names: names, terms }
    }

    /// Errors of a route that occur only where the aggregate calls it.
    fn check_part(&mut self, collected: Diagnostics) {
        for mut diagnostic in collected.list {
            let same = |other: &crate::config::Diagnostic| {
                other.code == diagnostic.code
                    && other.span == diagnostic.span
                    && other.message == diagnostic.message
            };
            let is_suppressed = |span| self.diagnostics.is_suppressed(span, &diagnostic.message);
            if self.diagnostics.list.iter().any(same) || diagnostic.span.is_some_and(is_suppressed) {
                continue;
            }
            if ![codes::UNKNOWN_PLACEHOLDER, codes::HUB_IN_AGGREGATE].contains(&diagnostic.code) {
                diagnostic.severity = crate::config::Severity::Warning;
            }
            let location = self.scope.sources.location(self.document.span);
            diagnostic.help.push(format!("this applies where the aggregate at {location} calls the route"));
            self.diagnostics.list.push(diagnostic);
        }
    }

    fn part_config(
        &mut self,
        key: &str,
        first: bool,
        call: Option<&Spanned<RouteKeyConfigDocument>>,
        names: &[Box<str>],
    ) -> PartTerms {
        let nothing = RouteKeyConfigDocument::default();
        let default_value = self.size("MaxPartSize", &self.document.max_part_size, 4 * MIB);
        let values = call.filter(|_| !first).and_then(|call| self.values(call, names));
        let call = call.map_or(&nothing, |call| &call.value);
        let mut ranges = RangeChecker::for_section("RouteKeysConfig", self.diagnostics);
        let calls = ranges.count("MaxCalls", &call.max_calls, 10_000).unwrap_or(100) as usize;
        let at_one_time = ranges.count("MaxConcurrency", &call.max_concurrency, 1_000).unwrap_or(16) as usize;
        PartTerms {
            key: key.into(),
            values,
            optional: call.optional.as_ref().is_some_and(|on| on.value),
            timeout: self.timeout(&call.timeout),
            max_response_bytes: self.size("MaxSize", &call.max_size, default_value as u64),
            max_calls: calls,
            max_concurrency: at_one_time,
        }
    }

    /// Where the values of a call are; `None` if it does not depend on any.
    fn values(&mut self, call: &Spanned<RouteKeyConfigDocument>, names: &[Box<str>]) -> Option<JsonPath> {
        let parameter = non_blank(&call.parameter);
        let Some(path) = non_blank(&call.json_path) else {
            if let Some(parameter) = parameter {
                self.bad_call(parameter.span, "Parameter without JsonPath: the values are not specified");
            } else if is_blank(call) {
                self.bad_call(call.span, "the entry has no settings");
            }
            return None;
        };
        match parameter {
            None => self.bad_call(path.span, "JsonPath without Parameter"),
            Some(name) if names.iter().any(|known| **known == *name.value) => {
                let message = format!("Parameter \"{}\" is also a placeholder of the aggregate", name.value);
                let result = OcelotBehavior::Effect("the placeholder of the aggregate is used");
                let tolerated = OcelotTolerated::new(codes::AGGREGATE_CALL, result, message)
                    .help("give it a different name");
                tolerated.report(self.diagnostics, self.scope.ocelot, name.span);
            }
            Some(_) => {}
        }
        JsonPath::parse(path)
            .map_err(|error| {
                let message = format!("JsonPath \"{}\": {error}", path.value);
                let tolerated =
                    OcelotTolerated::new(codes::BAD_JSON_PATH, OcelotBehavior::Status(500), message);
                tolerated.report(self.diagnostics, self.scope.ocelot, path.span);
            })
            .ok()
    }

    /// Entries without a route, for the first route, or for one that already has an entry.
    fn report_unused_calls(&mut self) {
        let keys = items(&self.document.route_keys);
        let mut seen = HashSet::new();
        for call in items(&self.document.route_keys_config) {
            let Some(key) = &call.route_key else {
                self.bad_call(call.span, "the entry has no RouteKey");
                continue;
            };
            let depends = call.json_path.as_ref().or(call.parameter.as_ref());
            if !keys.iter().any(|known| known.value == key.value) {
                self.bad_call(
                    key.span,
                    &format!("\"{}\" is not in the RouteKeys of the aggregate", key.value),
                );
            } else if !seen.insert(key.as_str()) {
                self.bad_call(key.span, &format!("duplicate entry for \"{}\"", key.value));
            } else if let Some(depends) =
                depends.filter(|_| keys.first().is_some_and(|first| first.value == key.value))
            {
                self.bad_call(
                    depends.span,
                    "the first route cannot have values: they are taken from its response",
                );
            }
        }
    }

    /// Ocelot reads such an entry only while it serves a request, if at all.
    fn bad_call(&mut self, span: Span, message: &str) {
        let result = OcelotBehavior::Effect("the entry is ignored, or the response of the aggregate is 500");
        let tolerated =
            OcelotTolerated::new(codes::AGGREGATE_CALL, result, format!("RouteKeysConfig: {message}"));
        tolerated.report(self.diagnostics, self.scope.ocelot, span);
    }

    fn config(&mut self) -> AggregateConfig {
        let document = self.document;
        let name = non_blank(&document.aggregator);
        let unserved = name
            .filter(|name| !is_template(name))
            .map(|name| format!("unknown aggregator \"{}\"", name.value));
        AggregateConfig {
            ocelot: self.scope.ocelot,
            representations: self.forms(name.filter(|name| is_template(name)), &document.formats),
            unsupported_aggregator: unserved,
            timeout: self.timeout(&document.timeout),
            max_response_bytes: self.size("MaxSize", &document.max_size, 16 * MIB),
            max_request_bytes: self.size(
                "MaxRequestBodySize",
                &document.max_request_body_size,
                if self.scope.ocelot { super::limits::OCELOT_MAX_BODY } else { MIB },
            ),
        }
    }

    fn forms(&mut self, json: Option<&Spanned<String>>, formats: &StringList) -> Vec<Representation> {
        let mut forms = vec![match json {
            Some(source) => Representation {
                template: self.template(source, Escaping::Json),
                ..Representation::compose_object()
            },
            None => Representation::compose_object(),
        }];
        for (media, source) in formats.iter().flat_map(|map| map.iter()) {
            if !is_media_type(media) {
                let message = format!("invalid media type \"{}\"", media.value);
                let diagnostic = self.diagnostics.error(codes::BAD_AGGREGATE_TEMPLATE, media.span, message);
                diagnostic.help(
                    "expected a type such as text/html; charset=utf-8; the template for application/json is Aggregator",
                );
            }
            let Some(source) = source else { continue };
            let template = self.template(source, Escaping::escaping_for(media));
            forms.push(Representation { media: media.as_str().into(), template });
        }
        forms
    }

    /// Our own setting, so it is strict in both modes.
    fn template(&mut self, source: &Spanned<String>, escaping: Escaping) -> Option<Template> {
        Template::compile(source, escaping)
            .map_err(|error| {
                let message = format!("invalid template of the aggregate: {error}");
                let diagnostic = self.diagnostics.error(codes::BAD_AGGREGATE_TEMPLATE, source.span, message);
                diagnostic.help(
                    "available are parts (key → body), values (placeholder → value) and missing (keys)",
                );
            })
            .ok()
    }

    fn size(&mut self, name: &str, set: &Setting<crate::base::units::SizeText>, default_value: u64) -> usize {
        RangeChecker::for_section("Aggregates", self.diagnostics).size(name, set, default_value, 1, MAX_CALLS)
    }

    fn timeout(&mut self, set: &Setting<DurationSetting>) -> Option<Duration> {
        let setting = set.as_ref()?;
        let time = setting.non_zero();
        if time.is_none() {
            let diagnostic =
                self.diagnostics.error(codes::BAD_TIMEOUT, setting.span, "Timeout must be greater than zero");
            diagnostic.help("set a duration greater than zero, or remove Timeout");
        }
        time
    }
}

fn is_for(call: &RouteKeyConfigDocument, key: &str) -> bool {
    call.route_key.as_ref().is_some_and(|of| of.value == key)
}

fn is_blank(call: &RouteKeyConfigDocument) -> bool {
    call.optional.is_none()
        && call.timeout.is_none()
        && call.max_size.is_none()
        && call.max_calls.is_none()
        && call.max_concurrency.is_none()
}

/// `type/subtype`, with optional parameters; not that of the first form.
fn is_media_type(text: &str) -> bool {
    let kind = text.split(';').next().unwrap_or_default().trim();
    let token = |part: &str| crate::base::bytes::is_token(part.as_bytes()) && part != "*";
    let sound = kind.split_once('/').is_some_and(|(kind, of)| token(kind) && token(of));
    let plain = text.bytes().all(|b| matches!(b, b' '..=b'~'));
    sound && plain && !kind.eq_ignore_ascii_case("application/json")
}

/// What an aggregate and a route have in common. Ocelot always adds GET to the methods (measured).
fn to_route_document(document: &AggregateDocument, ocelot: bool) -> RouteDocument {
    let mut methods = document.methods.clone().filter(|methods| !methods.is_empty());
    let span = methods.as_ref().map_or(Span::default(), |methods| methods.span);
    let list = methods.get_or_insert_with(|| Spanned { value: Vec::new(), span });
    if list.is_empty() || ocelot && !list.iter().any(|method| method.eq_ignore_ascii_case("GET")) {
        list.value.push(Spanned { value: "GET".to_owned(), span });
    }
    let mut route = RouteDocument {
        client_path: document.client_path.clone(),
        methods,
        host: document.host.clone(),
        header_templates: document.header_templates.clone(),
        listeners: document.listeners.clone(),
        case_sensitive: document.case_sensitive.clone(),
        priority: document.priority.clone(),
        key: document.key.clone(),
        response_headers: document.response_headers.clone(),
        ..RouteDocument::default()
    };
    stage_options::copy_from_aggregate(document, &mut route);
    route
}
