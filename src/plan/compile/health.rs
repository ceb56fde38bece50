//! `HealthCheckOptions` → how health is watched over.

use super::ranges::Ranges;
use crate::backend::health::{HealthSpec, Passive, ProbeKind, Probing};
use crate::base::{statuses::Statuses, units::DurationText};
use crate::config::document::{ActiveHealthDocument, HealthCheckOptions, List, PassiveHealthDocument, Set};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::plan::blueprint::{Endpoint, Sourced};
use crate::plan::check::{filled, items};
use crate::wire::place::Place;
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// What the options say; `own` is where they are written.
pub fn health(
    own: Option<Span>,
    options: Option<&HealthCheckOptions>,
    out: &mut Diagnostics,
) -> Sourced<HealthSpec> {
    let Some(options) = options else { return Sourced::new(HealthSpec::default(), None) };
    let mut read = Reader { out };
    let spec = HealthSpec {
        active: options.active.as_ref().map(|active| Arc::new(read.active(active))),
        passive: options.passive.as_ref().map(|passive| read.passive(passive)),
        panic: read.number("PanicThreshold", &options.panic_threshold, 0, 0, 100),
    };
    let place = options.active.as_ref().map(|set| set.span).or(options.passive.as_ref().map(|set| set.span));
    if let Some(panic) = options.panic_threshold.as_ref().filter(|_| spec.is_off()) {
        read.out
            .error(codes::BAD_HEALTH_CHECK, panic.span, "PanicThreshold without a health check")
            .help("say what is checked: \"Active\": {} or \"Passive\": {}");
    }
    Sourced::new(spec, own.or(place))
}

/// A probe needs a port to ask.
pub fn ports(health: &Sourced<HealthSpec>, endpoints: &[Endpoint], out: &mut Diagnostics) {
    let Some(active) = &health.value.active else { return };
    let is_socket = |endpoint: &&Endpoint| Place::is_meant(&endpoint.host);
    if let Some(socket) = endpoints.iter().filter(|_| active.port.is_some()).find(is_socket) {
        let message = format!("probes have a Port, and {} has none", socket.host);
        out.error(codes::BAD_HEALTH_CHECK, health.from, message).help("leave the Port of Active out");
    }
    let probed = active.port.is_none();
    let portless = |endpoint: &&Endpoint| endpoint.port.is_none() && !is_socket(endpoint);
    if let Some(endpoint) = endpoints.iter().filter(|_| probed).find(portless) {
        let message =
            format!("{} has the port of each request, so there is none to be probed", endpoint.host);
        out.error(codes::BAD_HEALTH_CHECK, health.from, message)
            .help("give the address a Port, or the probe one of its own: \"Active\": { \"Port\": 8080 }");
    }
}

struct Reader<'o> {
    out: &'o mut Diagnostics,
}

impl Reader<'_> {
    fn active(&mut self, w: &Spanned<ActiveHealthDocument>) -> Probing {
        let interval = self.ranges().time("Interval", &w.interval, 10 * SECOND, 100 * MS, DAY);
        let timeout =
            self.ranges().time("Timeout", &w.timeout, interval.min(2 * SECOND), 10 * MS, 600 * SECOND);
        if let Some(written) = w.timeout.as_ref().filter(|_| timeout > interval) {
            self.out
                .error(
                    codes::BAD_HEALTH_CHECK,
                    written.span,
                    "a probe would last longer than until the next one",
                )
                .help(format!("write a Timeout of at most {}, or a longer Interval", DurationText(interval)));
        }
        let port = w.port.as_ref().map(|_| self.number("Port", &w.port, 1, 1, 65_535) as u16);
        Probing {
            kind: self.kind(w),
            port,
            interval,
            timeout,
            jitter: self.number("Jitter", &w.jitter, 10, 0, 100),
            healthy: self.number("HealthyThreshold", &w.healthy_threshold, 2, 1, 1000),
            unhealthy: self.number("UnhealthyThreshold", &w.unhealthy_threshold, 3, 1, 1000),
        }
    }

    fn kind(&mut self, w: &ActiveHealthDocument) -> ProbeKind {
        let tcp = match filled(&w.kind).map(|kind| (kind, kind.to_ascii_lowercase())) {
            None => false,
            Some((_, kind)) if kind == "tcp" || kind == "http" => kind == "tcp",
            Some((kind, _)) => {
                let said =
                    self.refuse(kind.span, format!("there is no probe of the Type \"{}\"", kind.value));
                if let Some(meant) = suggest::nearest(kind, ["Http", "Tcp"]) {
                    said.help(format!("did you mean \"{meant}\"?"));
                }
                said.help("the types are \"Http\" and \"Tcp\"");
                false
            }
        };
        if tcp {
            self.only_http(w);
            return ProbeKind::Tcp;
        }
        let statuses = self.statuses(&w.expected_status, (200, 299));
        let body = w.expected_body.as_ref().filter(|body| !body.is_empty()).map(|body| body.as_str().into());
        ProbeKind::Http { target: self.target(&w.path), statuses, body }
    }

    /// Whether a connection is accepted has nothing to do with paths and answers.
    fn only_http(&mut self, w: &ActiveHealthDocument) {
        let settings = [
            ("Path", w.path.as_ref().map(|set| set.span)),
            ("ExpectedStatus", w.expected_status.as_ref().map(|set| set.span)),
            ("ExpectedBody", w.expected_body.as_ref().map(|set| set.span)),
        ];
        for (setting, span) in settings {
            if let Some(span) = span {
                self.refuse(span, format!("{setting} is a setting of the Type \"Http\""));
            }
        }
    }

    fn target(&mut self, path: &Set<String>) -> String {
        let Some(path) = filled(path) else { return "/".to_owned() };
        if !path.starts_with('/') || path.bytes().any(|b| b <= b' ' || b >= 0x7f || b == b'#') {
            self.refuse(path.span, format!("Path \"{}\" is not a path", path.value))
                .help("begin with a slash, and escape what is not ASCII");
        }
        path.value.clone()
    }

    fn passive(&mut self, w: &Spanned<PassiveHealthDocument>) -> Passive {
        let ratio = w.failure_ratio.as_ref().map(|ratio| {
            if !(ratio.value > 0.0 && ratio.value <= 1.0) {
                self.refuse(ratio.span, format!("FailureRatio is {}", ratio.value))
                    .help("write a part of all requests, more than 0 and at most 1");
            }
            ratio.value.clamp(f64::MIN_POSITIVE, 1.0)
        });
        let row = self.number("ConsecutiveFailures", &w.consecutive_failures, 5, 1, 100_000);
        let ejection = self.ranges().time("EjectionTime", &w.ejection_time, 30 * SECOND, 100 * MS, DAY);
        let longest = self.ranges().time(
            "MaxEjectionTime",
            &w.max_ejection_time,
            ejection.max(300 * SECOND),
            100 * MS,
            DAY,
        );
        if let Some(written) = w.max_ejection_time.as_ref().filter(|_| longest < ejection) {
            self.refuse(written.span, "MaxEjectionTime is shorter than EjectionTime".to_owned());
        }
        Passive {
            consecutive: (w.consecutive_failures.is_some() || ratio.is_none()).then_some(row),
            ratio,
            minimum: self.number("MinimumRequests", &w.minimum_requests, 20, 1, 1_000_000),
            window: self.ranges().time("Window", &w.window, 10 * SECOND, SECOND, HOUR),
            ejection,
            longest,
            most: self.number("MaxEjectedPercent", &w.max_ejected_percent, 50, 1, 100),
            statuses: self.statuses(&w.failure_statuses, (500, 599)),
        }
    }

    fn statuses(&mut self, written: &List<String>, (first, last): (u16, u16)) -> Statuses {
        let mut statuses = Statuses::default();
        for text in items(written) {
            if !statuses.add(text) {
                self.refuse(text.span, format!("\"{}\" names no statuses", text.value))
                    .help("write 200, 200-299 or 2xx");
            }
        }
        if statuses.is_empty() { Statuses::range(first, last) } else { statuses }
    }

    fn number(&mut self, name: &str, set: &Set<i32>, usual: u32, least: u64, most: u64) -> u32 {
        self.ranges().number(name, set, least, most).map_or(usual, |n| n as u32)
    }

    fn ranges(&mut self) -> Ranges<'_> {
        Ranges::with(codes::BAD_HEALTH_CHECK, self.out)
    }

    fn refuse(&mut self, span: Span, message: String) -> &mut crate::config::Diagnostic {
        self.out.error(codes::BAD_HEALTH_CHECK, span, message)
    }
}
