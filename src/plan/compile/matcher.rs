//! Which requests a route matches: its templates, methods and host.

use super::route_compiler::{DocumentContext, RouteCompiler, text};
use super::transport_listeners;
use crate::base::method::parse_method;
use crate::config::{Span, Spanned, codes, suggest};
use crate::plan::blueprint::Match;
use crate::plan::check::{OcelotBehavior, OcelotTolerated, items, template, values};
use crate::plan::routing::{HeaderTemplates, RouteSpec, RoutingRules, Template, TemplateError};

/// The methods of RFC 9110 9.3 and RFC 5789.
const COMMON_METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

impl RouteCompiler<'_, '_, '_> {
    /// The conditions of the route, as written and as the route table needs them; the latter is `None` when a
    /// template is invalid.
    pub fn compile_matcher(
        &mut self,
        context: &DocumentContext,
        index: usize,
        rules: &RoutingRules,
    ) -> (Match, Option<RouteSpec>) {
        let matches = self.matcher_document(context);
        let spec = self.spec(index, &matches, rules);
        (matches, spec)
    }

    /// As written.
    pub fn matcher_document(&mut self, context: &DocumentContext) -> Match {
        let document = self.document;
        Match {
            client_path: text(&document.client_path),
            case_sensitive: document.case_sensitive.as_ref().is_some_and(|on| on.value),
            priority: document.priority.as_ref().map_or(1, |priority| priority.value),
            methods: self.methods(),
            host: self.host(),
            header_templates: self.header_templates(),
            listeners: self.listeners(&context.listeners),
        }
    }

    fn spec(&mut self, index: usize, matches: &Match, rules: &RoutingRules) -> Option<RouteSpec> {
        let template = self.template(matches.case_sensitive, rules);
        let headers = self.headers(matches);
        Some(RouteSpec {
            index,
            template: template?,
            methods: matches.methods.clone(),
            host: matches.host.clone(),
            headers: headers?,
            listeners: matches.listeners.clone(),
            priority: i64::from(matches.priority),
        })
    }

    fn template(&mut self, case_sensitive: bool, rules: &RoutingRules) -> Option<Template> {
        const PATH_SETTING: &str = "UpstreamPathTemplate";
        let path =
            template::path(self.diagnostics, PATH_SETTING, &self.document.client_path, self.document.span)?;
        let error = match Template::compile(path, case_sensitive, rules) {
            Ok(template) => {
                return template::stray_closing_brace(
                    self.diagnostics,
                    self.scope.ocelot,
                    PATH_SETTING,
                    path,
                )
                .then_some(template);
            }
            Err(error) => error,
        };
        let code = match error {
            TemplateError::Twice(_) => codes::REPEATED_PLACEHOLDER,
            TemplateError::NoSlash => codes::PATH_WITHOUT_SLASH,
            TemplateError::Unclosed(_) | TemplateError::Name(_) => codes::BAD_TEMPLATE,
        };
        let help = match error {
            TemplateError::Twice(_) => "give every placeholder a different name",
            _ => "a placeholder is a name in braces, such as {id}",
        };
        self.diagnostics
            .error(code, path.span, format!("{PATH_SETTING} \"{}\": {error}", path.value))
            .help(help);
        None
    }

    fn methods(&mut self) -> Vec<String> {
        let mut methods = Vec::new();
        for method in items(&self.document.methods) {
            match parse_method(method.trim()) {
                Some(name) if methods.contains(&name) => {}
                Some(name) => {
                    self.check_method_name(&name, method.span);
                    methods.push(name);
                }
                None => {
                    let message = format!("invalid method \"{}\" in UpstreamHttpMethod", method.value);
                    let diagnostic = self.diagnostics.error(codes::BAD_METHOD, method.span, message);
                    diagnostic.help("must be a method name such as \"GET\"");
                }
            }
        }
        methods
    }

    /// Methods are an open list, so a name that is almost a common one is only doubtful.
    fn check_method_name(&mut self, name: &str, span: Span) {
        let meant = suggest::closest_match(name, COMMON_METHODS);
        let is_doubtful = |meant: &&str| *meant != name && meant.len().abs_diff(name.len()) <= 1;
        if let Some(meant) = meant.filter(is_doubtful) {
            let message = format!("unusual method \"{name}\" in UpstreamHttpMethod");
            let diagnostic = self.diagnostics.warning(codes::BAD_METHOD, span, message);
            diagnostic.help(format!("did you mean \"{meant}\"?"));
        }
    }

    fn host(&mut self) -> Option<String> {
        let host = self.document.host.as_ref().filter(|host| !host.is_empty())?;
        let sound = values::host(host).is_ok() && !(self.scope.ocelot && host.contains(':'));
        if !sound {
            let message = format!("UpstreamHost \"{}\" can never match", host.value);
            OcelotTolerated::new(
                codes::BAD_HOST_MATCH,
                OcelotBehavior::Effect("the route matches no request"),
                message,
            )
            .help("must be a host name as in the Host field, without a port")
            .report(self.diagnostics, self.scope.ocelot, host.span);
        }
        Some(host.value.clone())
    }

    fn listeners(&mut self, known: &[String]) -> Vec<String> {
        let Some(list) = &self.document.listeners else { return Vec::new() };
        if list.is_empty() {
            let message = "Listeners is empty: the route matches no request";
            self.diagnostics
                .error(codes::UNKNOWN_LISTENER, list.span, message)
                .help("remove it to match on all listeners");
        }
        let declared = transport_listeners::declared(items(&self.scope.document.listeners));
        for name in list.iter().filter(|name| !known.contains(&name.value)) {
            if let Some(other) = declared.iter().find(|listener| listener.name == name.value) {
                let protocol = other.protocol.name();
                let message =
                    format!("the listener \"{}\" has Protocol {protocol}, the route is for HTTP", name.value);
                self.diagnostics
                    .error(codes::UNKNOWN_LISTENER, name.span, message)
                    .help("name listeners for HTTP, or move the route to TransportRoutes");
                continue;
            }
            let message = format!("unknown listener \"{}\"", name.value);
            let diagnostic = self.diagnostics.error(codes::UNKNOWN_LISTENER, name.span, message);
            match suggest::closest_match(name, known.iter().map(String::as_str)) {
                Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
                None => diagnostic.help(format!("known listeners: {}", known.join(", "))),
            };
        }
        list.iter().map(|name| name.value.clone()).collect()
    }

    fn header_templates(&mut self) -> Vec<(String, String)> {
        let mut templates = Vec::new();
        for (name, value) in self.document.header_templates.iter().flat_map(|map| map.iter()) {
            if !values::is_token(name) {
                let message = format!("invalid header name \"{}\"", name.value);
                OcelotTolerated::new(
                    codes::BAD_HEADER_MATCH,
                    OcelotBehavior::Effect("the route matches no request"),
                    message,
                )
                .report(self.diagnostics, self.scope.ocelot, name.span);
            }
            match value {
                Some(value) => templates.push((name.value.clone(), value.value.clone())),
                None => {
                    let message = "expected a header template, found null";
                    self.diagnostics.error(codes::BAD_HEADER_MATCH, name.span, message);
                }
            }
        }
        templates
    }

    fn headers(&mut self, matches: &Match) -> Option<HeaderTemplates> {
        let mistakes = match HeaderTemplates::compile(&matches.header_templates, matches.case_sensitive) {
            Ok(headers) => return Some(headers),
            Err(mistakes) => mistakes,
        };
        for error in mistakes {
            let span = self.header_template(&error.header).map_or(self.document.span, |text| text.span);
            self.diagnostics
                .error(codes::BAD_HEADER_MATCH, span, error.to_string())
                .help("placeholders are written {header:name}; the rest is a regular expression");
        }
        None
    }

    fn header_template(&self, name: &str) -> Option<&Spanned<String>> {
        self.document.header_templates.as_ref()?.get(name)?.as_ref()
    }
}
