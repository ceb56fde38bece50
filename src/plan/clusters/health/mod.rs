//! `HealthCheckOptions` → active health checks and outlier detection.
//!
//! Envoy's `health_checks` and `outlier_detection`, nginx's `health_check` and `max_fails`, YARP's active and passive
//! health checks. Entry point: [`health`], called by `plan::compile::cluster` for each cluster. The result is plain
//! settings; probes and ejections are in `backend::health`, whose state outlives a reload under the key of the
//! cluster.

mod datagram;
mod options;

pub use options::{
    ActiveHealthDocument, GlobalHealthCheckOptions, HealthCheckOptions, PassiveHealthDocument,
};

use super::Effective;
use crate::backend::health::{ActiveCheck, HealthConfig, OutlierDetection, ProbeKind};
use crate::base::{status_set::StatusSet, units::DurationText};
use crate::config::ranges::RangeChecker;
use crate::config::values::{List, Setting, items, non_blank};
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::net::agents::address::AgentAddress;
use crate::net::unix_address::UnixAddress;
use crate::plan::blueprint::{Endpoint, Sourced};
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Compiles the options that apply.
pub fn health(
    options: Option<&Effective<HealthCheckOptions>>,
    diagnostics: &mut Diagnostics,
) -> Sourced<HealthConfig> {
    compile_health(options, "http", diagnostics)
}

fn compile_health(
    options: Option<&Effective<HealthCheckOptions>>,
    default_kind: &'static str,
    diagnostics: &mut Diagnostics,
) -> Sourced<HealthConfig> {
    let Some(options) = options else { return Sourced::new(HealthConfig::default(), None) };
    let mut read = HealthCompiler { default_kind, diagnostics };
    let spec = HealthConfig {
        active: options.active.as_ref().map(|active| Arc::new(read.active(active))),
        passive: options.passive.as_ref().map(|passive| Arc::new(read.passive(passive))),
        panic_threshold: read.number("PanicThreshold", &options.panic_threshold, 0, 0, 100),
    };
    let span = options.active.as_ref().map(|set| set.span).or(options.passive.as_ref().map(|set| set.span));
    if let Some(panic) = options.panic_threshold.as_ref().filter(|_| spec.is_disabled()) {
        read.diagnostics
            .error(codes::BAD_HEALTH_CHECK, panic.span, "PanicThreshold without a health check")
            .help("enable a check: \"Active\": {} or \"Passive\": {}");
    }
    Sourced::new(spec, options.own_span.or(span))
}

/// A probe needs a port.
pub fn check_ports(health: &Sourced<HealthConfig>, endpoints: &[Endpoint], diagnostics: &mut Diagnostics) {
    let Some(active) = &health.value.active else { return };
    let is_socket = |endpoint: &&Endpoint| {
        UnixAddress::has_unix_scheme(&endpoint.host) || AgentAddress::has_agent_scheme(&endpoint.host)
    };
    if let Some(socket) = endpoints.iter().filter(|_| active.port.is_some()).find(is_socket) {
        let message = format!("Active.Port has no effect on {}, which has no port", socket.host);
        diagnostics.error(codes::BAD_HEALTH_CHECK, health.origin, message).help("remove Active.Port");
    }
    let probed = active.port.is_none();
    let portless = |endpoint: &&Endpoint| endpoint.port.is_none() && !is_socket(endpoint);
    if let Some(endpoint) = endpoints.iter().filter(|_| probed).find(portless) {
        let message = format!("{} uses the port of each request, so probes have no port", endpoint.host);
        diagnostics
            .error(codes::BAD_HEALTH_CHECK, health.origin, message)
            .help("set the Port of the endpoint, or of the probe: \"Active\": { \"Port\": 8080 }");
    }
}

/// A setting of a probe, and where it is written.
type ProbeSetting = (&'static str, fn(&ActiveHealthDocument) -> Option<Span>);

const PATH: ProbeSetting = ("Path", |document| document.path.as_ref().map(|set| set.span));
const EXPECTED_STATUS: ProbeSetting =
    ("ExpectedStatus", |document| document.expected_status.as_ref().map(|set| set.span));
const EXPECTED_BODY: ProbeSetting =
    ("ExpectedBody", |document| document.expected_body.as_ref().map(|set| set.span));
const SEND: ProbeSetting = ("Send", |document| document.send.as_ref().map(|set| set.span));
const SEND_BASE64: ProbeSetting =
    ("SendBase64", |document| document.send_base64.as_ref().map(|set| set.span));

fn expected_body(document: &ActiveHealthDocument) -> Option<Box<str>> {
    document.expected_body.as_ref().filter(|body| !body.is_empty()).map(|body| body.as_str().into())
}

/// Reports settings that concern forwarded connections or datagrams only, on a route for requests.
pub fn report_transport_settings(
    options: Option<&Effective<HealthCheckOptions>>,
    diagnostics: &mut Diagnostics,
) {
    let passive = options.and_then(|options| options.passive.as_ref());
    let active = options.and_then(|options| options.active.as_ref());
    let early_end = passive.and_then(|passive| passive.early_end_is_failure.as_ref()).map(|set| set.span);
    let udp = active.and_then(|active| non_blank(&active.kind));
    let udp = udp.filter(|kind| kind.eq_ignore_ascii_case("udp")).map(|kind| kind.span);
    for (what, span) in [("EarlyEndIsFailure", early_end), ("Type \"Udp\"", udp)] {
        if let Some(span) = span {
            let message = format!("{what} has no effect on requests");
            diagnostics
                .error(codes::BAD_HEALTH_CHECK, span, message)
                .help("it is for TransportRoutes; remove it");
        }
    }
}

/// Compiles the options of a transport route, whose endpoints respond to no request.
pub fn transport_health(
    options: Option<&Effective<HealthCheckOptions>>,
    is_udp: bool,
    diagnostics: &mut Diagnostics,
) -> Sourced<HealthConfig> {
    let passive = options.and_then(|options| options.passive.as_ref());
    if let Some(statuses) = passive.and_then(|passive| passive.failure_statuses.as_ref()) {
        diagnostics
            .error(
                codes::BAD_HEALTH_CHECK,
                statuses.span,
                "FailureStatuses has no effect: there are no responses",
            )
            .help("remove it; failures are those of connecting");
    }
    compile_health(options, if is_udp { "udp" } else { "tcp" }, diagnostics)
}

struct HealthCompiler<'o> {
    /// The type of a probe without `Type`, in lower case.
    default_kind: &'static str,
    diagnostics: &'o mut Diagnostics,
}

impl HealthCompiler<'_> {
    fn active(&mut self, document: &Spanned<ActiveHealthDocument>) -> ActiveCheck {
        let interval = self.status_ranges().time("Interval", &document.interval, 10 * SECOND, 100 * MS, DAY);
        let timeout = self.status_ranges().time(
            "Timeout",
            &document.timeout,
            interval.min(2 * SECOND),
            10 * MS,
            600 * SECOND,
        );
        if let Some(setting) = document.timeout.as_ref().filter(|_| timeout > interval) {
            self.diagnostics
                .error(codes::BAD_HEALTH_CHECK, setting.span, "Timeout is longer than Interval")
                .help(format!("set Timeout to at most {}, or a longer Interval", DurationText(interval)));
        }
        let port = document.port.as_ref().map(|_| self.number("Port", &document.port, 1, 1, 65_535) as u16);
        ActiveCheck {
            kind: self.kind(document),
            port,
            interval,
            timeout,
            jitter: self.number("Jitter", &document.jitter, 10, 0, 100),
            healthy_threshold: self.number("HealthyThreshold", &document.healthy_threshold, 2, 1, 1000),
            unhealthy_threshold: self.number("UnhealthyThreshold", &document.unhealthy_threshold, 3, 1, 1000),
        }
    }

    fn kind(&mut self, document: &ActiveHealthDocument) -> ProbeKind {
        const KINDS: [&str; 3] = ["Http", "Tcp", "Udp"];
        let kind = non_blank(&document.kind);
        let name = kind.map_or_else(|| self.default_kind.to_owned(), |kind| kind.to_ascii_lowercase());
        match name.as_str() {
            "tcp" => return self.tcp(document),
            "udp" => return self.udp(document),
            "http" => {}
            _ => {
                let Some(kind) = kind else { return ProbeKind::Tcp };
                let diagnostic = self.report(kind.span, format!("unknown probe Type \"{}\"", kind.value));
                diagnostic.expected(kind, &KINDS);
            }
        }
        self.report_unused("Http", &[SEND, SEND_BASE64], document);
        let statuses = self.statuses(&document.expected_status, (200, 299));
        ProbeKind::Http { target: self.target(&document.path), statuses, body: expected_body(document) }
    }

    /// A TCP probe has no path and no response.
    fn tcp(&mut self, document: &ActiveHealthDocument) -> ProbeKind {
        self.report_unused("Tcp", &[PATH, EXPECTED_STATUS, EXPECTED_BODY, SEND, SEND_BASE64], document);
        ProbeKind::Tcp
    }

    fn udp(&mut self, document: &ActiveHealthDocument) -> ProbeKind {
        self.report_unused("Udp", &[PATH, EXPECTED_STATUS], document);
        let datagram = match (&document.send, &document.send_base64) {
            (Some(text), None) => datagram::unescape(text).map_err(|why| (text.span, "Send", why)),
            (None, Some(text)) => datagram::decode(text).map_err(|why| (text.span, "SendBase64", why)),
            (Some(text), Some(_)) => {
                Err((text.span, "Send", "it is set together with SendBase64".to_owned()))
            }
            (None, None) => Ok(Vec::new()),
        };
        let datagram = datagram.unwrap_or_else(|(span, setting, why)| {
            self.report(span, format!("invalid {setting}: {why}"))
                .help("write a text such as \"ping\\\\x00\", or the bytes in SendBase64");
            Vec::new()
        });
        ProbeKind::Udp { datagram: datagram.into(), body: expected_body(document) }
    }

    fn report_unused(&mut self, kind: &str, settings: &[ProbeSetting], document: &ActiveHealthDocument) {
        for (setting, span) in settings {
            if let Some(span) = span(document) {
                self.report(span, format!("{setting} has no effect with Type \"{kind}\""));
            }
        }
    }

    fn target(&mut self, path: &Setting<String>) -> String {
        let Some(path) = non_blank(path) else { return "/".to_owned() };
        if !path.starts_with('/') || path.bytes().any(|b| b <= b' ' || b >= 0x7f || b == b'#') {
            self.report(path.span, format!("invalid Path \"{}\"", path.value))
                .help("must start with a slash and be percent-encoded ASCII");
        }
        path.value.clone()
    }

    fn passive(&mut self, document: &Spanned<PassiveHealthDocument>) -> OutlierDetection {
        let ratio = document.failure_ratio.as_ref().map(|ratio| {
            if !(ratio.value > 0.0 && ratio.value <= 1.0) {
                self.report(ratio.span, format!("invalid FailureRatio {}", ratio.value))
                    .help("must be greater than 0 and at most 1");
            }
            ratio.value.clamp(f64::MIN_POSITIVE, 1.0)
        });
        let row = self.number("ConsecutiveFailures", &document.consecutive_failures, 5, 1, 100_000);
        let ejection =
            self.status_ranges().time("EjectionTime", &document.ejection_time, 30 * SECOND, 100 * MS, DAY);
        let longest = self.status_ranges().time(
            "MaxEjectionTime",
            &document.max_ejection_time,
            ejection.max(300 * SECOND),
            100 * MS,
            DAY,
        );
        if let Some(setting) = document.max_ejection_time.as_ref().filter(|_| longest < ejection) {
            self.report(setting.span, "MaxEjectionTime is shorter than EjectionTime".to_owned());
        }
        OutlierDetection {
            consecutive_failures: (document.consecutive_failures.is_some() || ratio.is_none()).then_some(row),
            failure_ratio: ratio,
            min_requests: self.number("MinimumRequests", &document.minimum_requests, 20, 1, 1_000_000),
            window: self.status_ranges().time("Window", &document.window, 10 * SECOND, SECOND, HOUR),
            base_ejection_time: ejection,
            max_ejection_time: longest,
            max_ejected_percent: self.number("MaxEjectedPercent", &document.max_ejected_percent, 50, 1, 100),
            statuses: self.statuses(&document.failure_statuses, (500, 599)),
            counts_early_end: document.early_end_is_failure.as_ref().is_some_and(|on| on.value),
        }
    }

    fn statuses(&mut self, values: &List<String>, (first, last): (u16, u16)) -> StatusSet {
        let mut statuses = StatusSet::default();
        for text in items(values) {
            if !statuses.insert(text) {
                self.report(text.span, format!("invalid status range \"{}\"", text.value))
                    .help("expected a range such as 200, 200-299 or 2xx");
            }
        }
        if statuses.is_empty() { StatusSet::from_range(first, last) } else { statuses }
    }

    fn number(&mut self, name: &str, set: &Setting<i32>, default_value: u32, min: u64, max: u64) -> u32 {
        self.status_ranges().number(name, set, min, max).map_or(default_value, |n| n as u32)
    }

    fn status_ranges(&mut self) -> RangeChecker<'_> {
        RangeChecker::for_code(codes::BAD_HEALTH_CHECK, self.diagnostics)
    }

    fn report(&mut self, span: Span, message: String) -> &mut crate::config::Diagnostic {
        self.diagnostics.error(codes::BAD_HEALTH_CHECK, span, message)
    }
}
