//! Which requests a route takes: its templates, methods and host.

use super::route_compiler::{DocumentContext, RouteCompiler, text};
use crate::base::method::parse_method;
use crate::config::{Spanned, codes, suggest};
use crate::plan::blueprint::Match;
use crate::plan::check::{OcelotBehavior, OcelotTolerated, items, template, values};
use crate::plan::routing::{HeaderTemplates, RouteSpec, RoutingRules, Template, TemplateError};

impl RouteCompiler<'_, '_, '_> {
    /// What the route asks of a request, as written and as the table wants it; not the latter when a template is
    /// no good.
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
        let written = self.document;
        Match {
            client_path: text(&written.client_path),
            case_sensitive: written.case_sensitive.as_ref().is_some_and(|on| on.value),
            priority: written.priority.as_ref().map_or(1, |priority| priority.value),
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
        let mistake = match Template::compile(path, case_sensitive, rules) {
            Ok(template) => {
                return template::stray_closing_brace(
                    self.diagnostics,
                    self.scope.ocelot,
                    PATH_SETTING,
                    path,
                )
                .then_some(template);
            }
            Err(mistake) => mistake,
        };
        let code = match mistake {
            TemplateError::Twice(_) => codes::REPEATED_PLACEHOLDER,
            TemplateError::NoSlash => codes::PATH_WITHOUT_SLASH,
            TemplateError::Unclosed(_) | TemplateError::Name(_) => codes::BAD_TEMPLATE,
        };
        let help = match mistake {
            TemplateError::Twice(_) => "give every placeholder a name of its own",
            _ => "a placeholder is a name in braces, such as {id}",
        };
        self.diagnostics
            .error(code, path.span, format!("{PATH_SETTING} \"{}\": {mistake}", path.value))
            .help(help);
        None
    }

    fn methods(&mut self) -> Vec<String> {
        let mut methods = Vec::new();
        for written in items(&self.document.methods) {
            match parse_method(written.trim()) {
                Some(method) if methods.contains(&method) => {}
                Some(method) => methods.push(method),
                None => {
                    let message = format!("UpstreamHttpMethod \"{}\" is not a method", written.value);
                    let said = self.diagnostics.error(codes::BAD_METHOD, written.span, message);
                    said.help("write one word such as \"GET\"");
                }
            }
        }
        methods
    }

    fn host(&mut self) -> Option<String> {
        let host = self.document.host.as_ref().filter(|host| !host.is_empty())?;
        let sound = values::host(host).is_ok() && !(self.scope.ocelot && host.contains(':'));
        if !sound {
            let message = format!("UpstreamHost \"{}\" can never match", host.value);
            OcelotTolerated::new(
                codes::BAD_HOST_MATCH,
                OcelotBehavior::Effect("the route takes no request"),
                message,
            )
            .help("write the host name alone, as it stands in the Host field, without a port")
            .report(self.diagnostics, self.scope.ocelot, host.span);
        }
        Some(host.value.clone())
    }

    fn listeners(&mut self, known: &[String]) -> Vec<String> {
        let Some(list) = &self.document.listeners else { return Vec::new() };
        if list.is_empty() {
            let message = "Listeners is empty: the route would answer nowhere";
            self.diagnostics
                .error(codes::UNKNOWN_LISTENER, list.span, message)
                .help("leave it out to answer on all");
        }
        for written in list.iter().filter(|written| !known.contains(&written.value)) {
            let message = format!("there is no listener \"{}\"", written.value);
            let said = self.diagnostics.error(codes::UNKNOWN_LISTENER, written.span, message);
            match suggest::closest_match(written, known.iter().map(String::as_str)) {
                Some(meant) => said.help(format!("did you mean \"{meant}\"?")),
                None => said.help(format!("there are {}", known.join(", "))),
            };
        }
        list.iter().map(|written| written.value.clone()).collect()
    }

    fn header_templates(&mut self) -> Vec<(String, String)> {
        let mut templates = Vec::new();
        for (name, value) in self.document.header_templates.iter().flat_map(|map| map.iter()) {
            if !values::is_token(name) {
                let message = format!("\"{}\" is not the name of a header", name.value);
                OcelotTolerated::new(
                    codes::BAD_HEADER_MATCH,
                    OcelotBehavior::Effect("the route takes no request"),
                    message,
                )
                .report(self.diagnostics, self.scope.ocelot, name.span);
            }
            match value {
                Some(value) => templates.push((name.value.clone(), value.value.clone())),
                None => {
                    let message = "a header template is a text, not null";
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
        for mistake in mistakes {
            let place = self.header_template(&mistake.header).map_or(self.document.span, |text| text.span);
            self.diagnostics
                .error(codes::BAD_HEADER_MATCH, place, mistake.to_string())
                .help("placeholders are written {header:name}; the rest is a regular expression");
        }
        None
    }

    fn header_template(&self, name: &str) -> Option<&Spanned<String>> {
        self.document.header_templates.as_ref()?.get(name)?.as_ref()
    }
}
