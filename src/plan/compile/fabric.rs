//! `ServiceFabricOptions` of a route: how its requests name services, and how their replicas are called.

use super::fabric_certificates::service_certificates;
use super::fabric_resolvers::FabricResolvers;
use super::route_compiler::RouteCompiler;
use crate::backend::fabric::{
    FabricConfig,
    choice::Selector,
    name::{NameFilter, NamePattern, is_name, without_scheme},
    partition::PartitionKind,
    request::ContractRules,
    route::{Addressing, KeySource, StatusRule, WhenExhausted},
    transport::TransportConfig,
    value_template::{ValuePart, ValueTemplate},
};
use crate::config::ranges::RangeChecker;
use crate::config::values::{items, non_blank};
use crate::config::{Span, Spanned, codes};
use crate::plan::blueprint::Scheme;
use crate::plan::blueprint::fabric::FabricBlueprint;
use crate::plan::check::unsupported::EffectiveOptions;
use crate::plan::check::values;
use crate::plan::clusters::http_handler::{ResolvedHttpHandler, pool_config};
use crate::plan::clusters::tls::TlsDocument;
use crate::plan::document::{PartitionHash, ServiceFabricOptions};
use std::collections::BTreeMap;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

impl RouteCompiler<'_, '_, '_> {
    /// The services that the route leads to, if it does.
    pub(super) fn fabric(
        &mut self,
        resolvers: &FabricResolvers,
        names: Option<&[Box<str>]>,
        effective: &EffectiveOptions,
        adds_prefix: bool,
    ) -> Option<FabricBlueprint> {
        let options = self.document.fabric.as_ref()?;
        self.report_conflicts(options.span);
        let (resolver, config) =
            resolvers.get(non_blank(&options.resolver), options.span, self.diagnostics)?;
        let host_map = config.map_or_else(BTreeMap::new, |config| config.host_map.clone());
        let mut compiler = FabricCompiler { route: self, options, is_strict: is_on(&options.strict) };
        let config = compiler.config(names, adds_prefix);
        let transport = compiler.transport(effective, host_map);
        let all_services = items(&options.services).iter().find(|text| text.trim() == "*");
        Some(FabricBlueprint { resolver, config, transport, all_services: all_services.map(|set| set.span) })
    }

    /// Settings of the endpoints and attempts of other routes.
    fn report_conflicts(&mut self, options: Span) {
        const ALLOWED: [&str; 4] = [
            "DownstreamHttpVersion",
            "HttpHandlerOptions",
            "TlsOptions",
            "DangerousAcceptAnyServerCertificateValidator",
        ];
        let route = self.document;
        let more = [
            ("PreserveHost", route.preserve_host.as_ref().filter(|on| on.value).map(|set| set.span)),
            ("DeadlineHeader", non_blank(&route.deadline_header).map(|set| set.span)),
        ];
        let settings = self.endpoint_settings().into_iter().chain(more);
        for (setting, span) in settings.filter(|(setting, _)| !ALLOWED.contains(setting)) {
            let Some(span) = span else { continue };
            let message = format!("{setting} has no effect with ServiceFabricOptions");
            let options = self.scope.sources.location(options);
            self.diagnostics
                .error(codes::FABRIC_CONFLICT, span, message)
                .help(format!("remove {setting}, or ServiceFabricOptions at {options}"));
        }
    }
}

fn is_on(setting: &crate::config::values::Setting<bool>) -> bool {
    setting.as_ref().is_some_and(|on| on.value)
}

struct FabricCompiler<'c, 's, 'd, 'o> {
    route: &'c mut RouteCompiler<'s, 'd, 'o>,
    options: &'s Spanned<Box<ServiceFabricOptions>>,
    is_strict: bool,
}

impl<'s> FabricCompiler<'_, 's, '_, '_> {
    fn error(&mut self, span: Span, message: String, help: &str) {
        self.route.diagnostics.error(codes::FABRIC_OPTIONS, span, message).help(help);
    }

    fn config(&mut self, names: Option<&[Box<str>]>, adds_prefix: bool) -> FabricConfig {
        let options = self.options;
        let addressing = match non_blank(&options.service_name) {
            Some(service) => self.by_route(service, names),
            None => self.by_address(),
        };
        let (timeout, max_timeout) = self.timeouts();
        let (min_backoff, max_backoff) = self.backoff();
        let mut ranges = RangeChecker::for_code(codes::FABRIC_OPTIONS, self.route.diagnostics);
        let attempts = ranges.number("Attempts", &options.attempts, 1, 100);
        let attempts = attempts.map_or(5, |attempts| attempts as u32);
        let exhausted = options.when_exhausted.as_ref().map(|set| set.value);
        FabricConfig {
            addressing,
            timeout,
            max_timeout,
            max_attempts: (!self.is_strict || options.attempts.is_some()).then_some(attempts),
            min_backoff,
            max_backoff,
            status_rules: self.status_rules(),
            when_exhausted: exhausted.unwrap_or(if self.is_strict {
                WhenExhausted::Timeout
            } else {
                WhenExhausted::LastAnswer
            }),
            schemes: self.schemes(),
            assumed_scheme: options.assume_scheme.as_ref().map(|set| set.value),
            forwards_certificate: self.forwards_certificate(),
            removed_response_headers: self.removed_headers(),
            adds_prefix,
            is_strict: self.is_strict,
        }
    }

    fn by_address(&mut self) -> Addressing {
        let options = self.options;
        if items(&options.services).is_empty() {
            let place = options.services.as_ref().map_or(options.span, |list| list.span);
            let message = "ServiceFabricOptions without Services and without ServiceName".to_owned();
            let help = "by address, list the services that clients can reach: \"Services\": [\"MyApp/*\"]; by route, \
                        set ServiceName";
            self.error(place, message, help);
        }
        let of_routes = [
            ("PartitionKind", options.partition_kind.as_ref().map(|set| set.span)),
            ("PartitionKey", options.partition_key.as_ref().map(|set| set.span)),
            ("PartitionHash", options.partition_hash.as_ref().map(|set| set.span)),
            ("ListenerName", options.listener_name.as_ref().map(|set| set.span)),
            ("TargetReplicaSelector", options.target_replica_selector.as_ref().map(|set| set.span)),
        ];
        self.report_other_way(&of_routes, "without ServiceName, which requests name themselves");
        let forwards_timeout = options.forward_timeout_parameter.as_ref().map(|on| on.value);
        Addressing::ByAddress {
            filter: NameFilter {
                allowed: self.patterns("Services", items(&options.services)),
                hidden: self.patterns("HiddenServices", items(&options.hidden_services)),
            },
            contract: ContractRules {
                forwards_timeout: forwards_timeout.unwrap_or(self.is_strict),
                drops_empty_parts: self.is_strict,
                keeps_key_encoded: self.is_strict,
            },
        }
    }

    fn report_other_way(&mut self, settings: &[(&str, Option<Span>)], why: &str) {
        for (setting, span) in settings {
            if let Some(span) = span {
                self.error(
                    *span,
                    format!("{setting} has no effect {why}"),
                    "remove it, or address services in one way",
                );
            }
        }
    }

    fn patterns(&mut self, setting: &str, list: &[Spanned<String>]) -> Box<[NamePattern]> {
        let mut patterns = Vec::new();
        for text in list {
            match NamePattern::parse(text) {
                Some(pattern) => patterns.push(pattern),
                None => {
                    let message = format!("invalid entry \"{}\" of {setting}", text.value);
                    self.error(text.span, message, "must be App/Service, App/* or *");
                }
            }
        }
        patterns.into()
    }

    fn by_route(&mut self, service: &Spanned<String>, names: Option<&[Box<str>]>) -> Addressing {
        let options = self.options;
        let of_addresses = [
            ("Services", options.services.as_ref().map(|set| set.span)),
            ("HiddenServices", options.hidden_services.as_ref().map(|set| set.span)),
            ("ForwardTimeoutParameter", options.forward_timeout_parameter.as_ref().map(|set| set.span)),
        ];
        self.report_other_way(&of_addresses, "with ServiceName, which is the only service of the route");
        let name = Spanned::new(without_scheme(service.trim()).to_owned(), service.span);
        let template = self.template("ServiceName", &name, names);
        if template.constant().is_some_and(|name| !is_name(name)) {
            let message = format!("invalid ServiceName \"{}\"", service.value);
            self.error(
                service.span,
                message,
                "must be App/Service: segments without $ + | ~, none of them empty",
            );
        }
        let selector = non_blank(&options.target_replica_selector).and_then(|name| {
            let selector = Selector::by_name(name.as_bytes());
            if selector.is_none() {
                let message = format!("unknown TargetReplicaSelector \"{}\"", name.value);
                self.error(name.span, message, &format!("expected {}", Selector::NAMES.join(", ")));
            }
            selector
        });
        Addressing::ByRoute {
            service: template,
            key: self.key(names),
            listener: non_blank(&options.listener_name).map(|name| name.as_str().into()),
            selector,
        }
    }

    fn key(&mut self, names: Option<&[Box<str>]>) -> KeySource {
        let options = self.options;
        let kind = options.partition_kind.as_ref().filter(|kind| kind.value != PartitionKind::Singleton);
        let (kind, key) = match (kind, non_blank(&options.partition_key)) {
            (Some(kind), Some(key)) => (kind, key),
            (Some(kind), None) => {
                self.error(kind.span, "PartitionKind without PartitionKey".to_owned(), "set PartitionKey");
                return KeySource::None;
            }
            (None, Some(key)) => {
                let help = "set \"PartitionKind\": \"Int64Range\" or \"Named\"";
                self.error(key.span, "PartitionKey without PartitionKind".to_owned(), help);
                return KeySource::None;
            }
            (None, None) => {
                let hash = options.partition_hash.as_ref().map(|set| set.span);
                self.report_other_way(&[("PartitionHash", hash)], "without PartitionKey");
                return KeySource::None;
            }
        };
        let template = self.template("PartitionKey", key, names);
        let hash = options.partition_hash.as_ref().filter(|hash| hash.value == PartitionHash::Fnv1a64);
        match (kind.value, hash) {
            (PartitionKind::Named, Some(hash)) => {
                let message = "PartitionHash has no effect with PartitionKind Named".to_owned();
                self.error(hash.span, message, "remove it, or set \"PartitionKind\": \"Int64Range\"");
                KeySource::Named(template)
            }
            (PartitionKind::Named, None) => KeySource::Named(template),
            (_, Some(_)) => KeySource::Hashed(template),
            (_, None) => KeySource::Int64(template),
        }
    }

    /// A template whose placeholders the route has.
    fn template(
        &mut self,
        setting: &str,
        text: &Spanned<String>,
        names: Option<&[Box<str>]>,
    ) -> ValueTemplate {
        // Without names the template of the path has been reported.
        let Some(names) = names else { return ValueTemplate([ValuePart::Text(text.as_str().into())].into()) };
        ValueTemplate::parse(text, names).unwrap_or_else(|why| {
            let known: Vec<String> = names.iter().map(|name| format!("{{{name}}}")).collect();
            let help = format!(
                "expected {}{{header:NAME}}, {{query:NAME}} or {{claim:TYPE}}",
                known.iter().map(|name| format!("{name}, ")).collect::<String>()
            );
            self.error(text.span, format!("invalid {setting} \"{}\": {why}", text.value), &help);
            ValueTemplate([ValuePart::Text("".into())].into())
        })
    }

    fn timeouts(&mut self) -> (Duration, Duration) {
        let route = self.route.document;
        let timeout = self.route.timeout().value;
        let is_set = route.timeout.is_some() || self.route.scope.global.timeout.is_some();
        let setting = &self.options.max_timeout;
        let mut ranges = RangeChecker::for_code(codes::FABRIC_OPTIONS, self.route.diagnostics);
        let max = ranges.time("MaxTimeout", setting, (600 * SECOND).max(timeout), SECOND, 3600 * SECOND);
        if let Some(set) = setting.as_ref().filter(|_| is_set && max < timeout) {
            let message = format!("MaxTimeout {} is less than the Timeout of the route", set.value);
            self.error(set.span, message, "MaxTimeout must be at least Timeout");
        }
        (timeout.min(max), max)
    }

    fn backoff(&mut self) -> (Duration, Duration) {
        let options = self.options;
        let mut ranges = RangeChecker::for_code(codes::FABRIC_OPTIONS, self.route.diagnostics);
        let min = ranges.time("MinBackoff", &options.min_backoff, 50 * MS, MS, 60 * SECOND);
        let max = ranges.time("MaxBackoff", &options.max_backoff, (5 * SECOND).max(min), MS, 60 * SECOND);
        let is_min_set = options.min_backoff.is_some();
        if let Some(set) = options.max_backoff.as_ref().filter(|_| max < min && is_min_set) {
            let message = format!("MaxBackoff {} is less than MinBackoff", set.value);
            self.error(set.span, message, "MaxBackoff must be at least MinBackoff");
        }
        (min.min(max), max)
    }

    fn status_rules(&mut self) -> [StatusRule; 3] {
        let mut rules = [StatusRule::UnlessResourceNotFound, StatusRule::Always, StatusRule::Always];
        for (status, rule) in self.options.retry_statuses.iter().flat_map(|map| map.iter()) {
            let at = ["404", "410", "503"].iter().position(|known| *known == status.value);
            match at {
                Some(at) if at > 0 && rule.value == StatusRule::UnlessResourceNotFound => {
                    let message = format!("UnlessResourceNotFound does not apply to {}", status.value);
                    self.error(rule.span, message, "expected Always or Never");
                }
                Some(at) => rules[at] = rule.value,
                None => {
                    let message = format!("unknown status \"{}\" in RetryStatuses", status.value);
                    self.error(status.span, message, "expected 404, 410 or 503");
                }
            }
        }
        rules
    }

    fn schemes(&mut self) -> Option<(bool, bool)> {
        use crate::backend::fabric::address::EndpointScheme::{Http, Https};
        let list = self.options.endpoint_schemes.as_ref()?;
        if list.is_empty() {
            self.error(list.span, "EndpointSchemes is empty".to_owned(), "expected http, https or both");
        }
        let has = |scheme| list.iter().any(|set| set.value == scheme);
        Some((has(Http), has(Https)))
    }

    /// The listener must not send the certificate in another form.
    fn forwards_certificate(&mut self) -> bool {
        let Some(set) = self.options.forward_client_certificate.as_ref().filter(|on| on.value) else {
            return false;
        };
        let listeners = items(&self.route.scope.document.listeners);
        let mut forwards = listeners.iter().filter_map(|listener| {
            listener.tls.as_ref()?.client_certificates.as_ref()?.forward.as_ref().filter(|on| on.value)
        });
        if forwards.next().is_some() {
            let message =
                "ForwardClientCertificate and ClientCertificates.Forward of a listener exclude each other";
            self.error(set.span, message.to_owned(), "remove one of the two");
        }
        true
    }

    fn removed_headers(&mut self) -> Box<[Box<str>]> {
        let Some(list) = &self.options.remove_response_headers else {
            let original: &[&str] = if self.is_strict { &["Date", "Server"] } else { &[] };
            return original.iter().map(|name| Box::from(*name)).collect();
        };
        for name in list.iter().filter(|name| !values::is_token(name)) {
            let message = format!("invalid header name \"{}\" in RemoveResponseHeaders", name.value);
            self.error(name.span, message, "must be the name of a header field");
        }
        list.iter().map(|name| name.as_str().into()).collect()
    }

    fn transport(
        &mut self,
        effective: &EffectiveOptions,
        host_map: BTreeMap<Box<str>, Box<str>>,
    ) -> TransportConfig {
        let route = self.route.document;
        let tls = TlsDocument {
            options: effective.clusters.tls.as_ref(),
            own_span: route.tls.as_ref().map(|set| set.span),
            accept_any: &route.accept_any_certificate,
            scheme: Scheme::Https,
        };
        let tls = tls.read(self.route.scope.attached, self.route.diagnostics);
        let client = effective.clusters.http_handler.as_ref();
        let client = client.map(|options| ResolvedHttpHandler::resolve(options));
        let pooling = pool_config(client.as_ref(), self.route.diagnostics);
        let certificates = self.options.service_certificates.as_ref();
        let tls = match certificates {
            Some(document) => service_certificates(document, tls, self.route.diagnostics),
            None => tls,
        };
        TransportConfig { tls, pooling, host_map }
    }
}
