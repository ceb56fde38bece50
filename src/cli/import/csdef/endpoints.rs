//! Endpoints of a role.

use super::{
    findings::{Fate, Findings},
    xml::Element,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The idle timeout of the original.
const IDLE_TIMEOUT: &str = "4m";
/// Of a probe: the interval and the timeout in seconds.
const PROBE_INTERVAL: u64 = 15;
const PROBE_TIMEOUT: u64 = 31;

/// What the endpoints of all roles share.
pub struct EndpointImport<'i> {
    /// `LoadBalancerProbe` by name.
    pub probes: &'i BTreeMap<String, Element>,
    pub is_strict: bool,
    /// The next gateway port.
    pub gateway_port: Option<u32>,
    pub findings: &'i mut Findings,
}

impl EndpointImport<'_> {
    /// An endpoint with its name; `None`: another element.
    pub fn endpoint(&mut self, element: &Element) -> Option<(String, Value)> {
        let name = element.attribute("name").unwrap_or_default().to_owned();
        let mut endpoint = Map::new();
        match element.name.as_str() {
            "InputEndpoint" => self.input(element, &mut endpoint),
            "InstanceInputEndpoint" => self.instance_input(element, &mut endpoint),
            "InternalEndpoint" => self.internal(element, &mut endpoint),
            _ => {
                self.findings.add(Fate::Ignored, element, &element.name);
                return None;
            }
        }
        if name.is_empty() {
            self.findings.error(element, format!("{} has no name", element.name));
        }
        self.findings.add(Fate::Mapped, element, format!("{} {name}", element.name));
        Some((name, Value::Object(endpoint)))
    }

    fn protocol(&mut self, element: &Element, known: &[&str]) -> String {
        let protocol = element.attribute("protocol").unwrap_or_default().to_ascii_lowercase();
        if !known.contains(&protocol.as_str()) {
            let found = element.attribute("protocol").unwrap_or_default();
            self.findings
                .error(element, format!("protocol \"{found}\": expected one of {}", known.join(", ")));
        }
        protocol
    }

    fn port(&mut self, element: &Element, name: &str) -> Option<u16> {
        let text = element.attribute(name)?;
        let port = text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        if port.is_none() {
            self.findings.error(element, format!("invalid {name} \"{text}\": expected 1 to 65535"));
        }
        port
    }

    fn input(&mut self, element: &Element, endpoint: &mut Map<String, Value>) {
        const ATTRIBUTES: [&str; 9] = [
            "name",
            "protocol",
            "port",
            "localPort",
            "certificate",
            "loadBalancerDistribution",
            "loadBalancerProbe",
            "idleTimeoutInMinutes",
            "ignoreRoleInstanceStatus",
        ];
        self.findings.ignore_others(element, &ATTRIBUTES, &[]);
        let protocol = self.protocol(element, &["http", "https", "tcp", "udp"]);
        endpoint.insert("Kind".into(), json!("Input"));
        endpoint.insert("Protocol".into(), json!(protocol));
        let port = self.port(element, "port");
        if port.is_none() && element.attribute("port").is_none() {
            self.findings.error(element, "InputEndpoint has no port");
        }
        endpoint.insert("Port".into(), json!(port));
        self.local_port(element, port, endpoint);
        self.tls(element, &protocol, endpoint);
        self.balancer(element, endpoint);
        self.idle_timeout(element, &protocol, endpoint);
        if self.boolean(element, "ignoreRoleInstanceStatus") {
            endpoint.insert("IgnoreInstanceStatus".into(), json!(true));
        }
        if let Some(name) = element.attribute("loadBalancerProbe") {
            match self.probes.get(name).map(probe) {
                Some(probe) => drop(endpoint.insert("HealthCheckOptions".into(), json!({ "Active": probe }))),
                None => self.findings.error(element, format!("there is no LoadBalancerProbe \"{name}\"")),
            }
        }
    }

    fn local_port(&mut self, element: &Element, port: Option<u16>, endpoint: &mut Map<String, Value>) {
        match element.attribute("localPort") {
            Some("*") => drop(endpoint.insert("LocalPort".into(), json!("*"))),
            Some(_) => {
                if let Some(local) = self.port(element, "localPort").filter(|local| Some(*local) != port) {
                    endpoint.insert("LocalPort".into(), json!(local));
                }
            }
            None => {}
        }
    }

    fn boolean(&self, element: &Element, name: &str) -> bool {
        element.attribute(name).is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1")
    }

    fn tls(&mut self, element: &Element, protocol: &str, endpoint: &mut Map<String, Value>) {
        match (protocol, element.attribute("certificate")) {
            ("https", Some(name)) => {
                let certificate = json!({ "CertificateFile": format!("certs/{name}.pem"),
                    "KeyFile": format!("certs/{name}.key") });
                endpoint.insert("Tls".into(), json!({ "Certificates": [certificate] }));
                endpoint.insert("DownstreamScheme".into(), json!("https"));
            }
            ("https", None) => self.findings.error(element, "an endpoint with https has no certificate"),
            (_, Some(_)) => self.findings.add(Fate::Ignored, element, "InputEndpoint certificate"),
            (_, None) => {}
        }
    }

    fn balancer(&mut self, element: &Element, endpoint: &mut Map<String, Value>) {
        let balancer = match element.attribute("loadBalancerDistribution").unwrap_or("none") {
            "sourceIP" | "sourceIPProtocol" => json!({ "Type": "ConsistentHash", "HashOn": "IP" }),
            "none" => json!({ "Type": "LeastConnection" }),
            other => {
                let message = format!(
                    "loadBalancerDistribution \"{other}\": expected none, sourceIP or sourceIPProtocol"
                );
                self.findings.error(element, message);
                return;
            }
        };
        endpoint.insert("LoadBalancerOptions".into(), balancer);
    }

    fn idle_timeout(&mut self, element: &Element, protocol: &str, endpoint: &mut Map<String, Value>) {
        let minutes = element.attribute("idleTimeoutInMinutes");
        if !matches!(protocol, "tcp" | "udp") {
            if minutes.is_some() {
                self.findings.add(Fate::Ignored, element, format!("{} idleTimeoutInMinutes", element.name));
            }
            return;
        }
        let text = minutes.map_or(IDLE_TIMEOUT.to_owned(), |minutes| format!("{}m", minutes.trim()));
        if minutes.is_some_and(|minutes| !minutes.trim().parse::<u32>().is_ok_and(|minutes| minutes > 0)) {
            self.findings.error(element, "invalid idleTimeoutInMinutes: expected a number of minutes");
        }
        endpoint.insert("TransportOptions".into(), json!({ "IdleTimeout": text }));
    }

    fn instance_input(&mut self, element: &Element, endpoint: &mut Map<String, Value>) {
        let attributes = ["name", "protocol", "localPort", "idleTimeoutInMinutes"];
        self.findings.ignore_others(element, &attributes, &["AllocatePublicPortFrom"]);
        let protocol = self.protocol(element, &["tcp", "udp"]);
        endpoint.insert("Kind".into(), json!("InstanceInput"));
        endpoint.insert("Protocol".into(), json!(protocol));
        if element.attribute("localPort").is_none() {
            self.findings.error(element, "InstanceInputEndpoint has no localPort");
        }
        endpoint.insert("LocalPort".into(), json!(self.port(element, "localPort")));
        let from = element.first("AllocatePublicPortFrom").and_then(|from| from.first("FixedPortRange"));
        match from.and_then(|range| self.range(range)) {
            Some((first, last)) => {
                endpoint.insert("PublicPorts".into(), json!(range_text(first, last)));
            }
            None if from.is_none() => {
                self.findings
                    .error(element, "InstanceInputEndpoint has no AllocatePublicPortFrom/FixedPortRange");
            }
            None => {}
        }
        self.idle_timeout(element, &protocol, endpoint);
    }

    /// A range; one that has its ends exchanged is corrected.
    fn range(&mut self, element: &Element) -> Option<(u16, u16)> {
        let (min, max) = (self.port(element, "min")?, self.port(element, "max")?);
        if min <= max {
            return Some((min, max));
        }
        let what = format!("FixedPortRange min {min} is above max {max}");
        match self.is_strict {
            true => self.findings.error(element, what),
            false => self.findings.add(Fate::Changed, element, format!("{what}; the ends are exchanged")),
        }
        Some((max, min))
    }

    fn internal(&mut self, element: &Element, endpoint: &mut Map<String, Value>) {
        let (attributes, children) = (["name", "protocol", "port"], ["FixedPort", "FixedPortRange"]);
        self.findings.ignore_others(element, &attributes, &children);
        let protocol = self.protocol(element, &["http", "tcp", "udp", "any"]);
        endpoint.insert("Kind".into(), json!("Internal"));
        endpoint.insert("Protocol".into(), json!(protocol));
        let fixed = element.first("FixedPort").and_then(|fixed| self.port(fixed, "port"));
        let port = self.port(element, "port").or(fixed);
        let range = element.first("FixedPortRange").and_then(|range| self.range(range));
        let ports = match (port, range) {
            (Some(port), _) => {
                endpoint.insert("Port".into(), json!(port));
                1
            }
            (None, Some((first, last))) => {
                endpoint.insert("PortRange".into(), json!(range_text(first, last)));
                u32::from(last - first) + 1
            }
            (None, None) if protocol == "any" => {
                return self.findings.error(element, "an endpoint with any needs a port or a FixedPortRange");
            }
            (None, None) => return,
        };
        let Some(first) = self.gateway_port else { return };
        if first + ports > 65_536 {
            self.findings.error(element, format!("--gateway-ports: {ports} ports from {first} exceed 65535"));
        }
        endpoint.insert("GatewayPort".into(), json!(first));
        self.gateway_port = Some(first + ports);
    }
}

fn range_text(first: u16, last: u16) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// `LoadBalancerProbe` → an active health check.
fn probe(element: &Element) -> Value {
    let seconds = |name: &str, default: u64| {
        element
            .attribute(name)
            .and_then(|text| text.trim().parse().ok())
            .filter(|n| *n > 0)
            .unwrap_or(default)
    };
    let (interval, timeout) =
        (seconds("intervalInSeconds", PROBE_INTERVAL), seconds("timeoutInSeconds", PROBE_TIMEOUT));
    let is_http = element.attribute("protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("http"));
    let mut probe = Map::new();
    probe.insert("Type".into(), json!(if is_http { "Http" } else { "Tcp" }));
    if let Some(path) = element.attribute("path").filter(|_| is_http) {
        probe.insert("Path".into(), json!(path));
    }
    if let Some(port) = element.attribute("port").and_then(|text| text.trim().parse::<u16>().ok()) {
        probe.insert("Port".into(), json!(port));
    }
    probe.insert("Interval".into(), json!(format!("{interval}s")));
    probe.insert("UnhealthyThreshold".into(), json!((timeout / interval).max(1)));
    probe.insert("HealthyThreshold".into(), json!(1));
    if is_http {
        probe.insert("ExpectedStatus".into(), json!(["200"]));
    }
    Value::Object(probe)
}
