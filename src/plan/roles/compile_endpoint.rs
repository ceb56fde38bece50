//! One endpoint of a role.

use super::blueprint::{EndpointKind, EndpointProtocol, InstancePort, RoleEndpoint, RoleOptions};
use super::values::{address, choice};
use crate::base::port_range::PortRange;
use crate::config::values::{Setting, non_blank};
use crate::config::{Diagnostic, Diagnostics, Span, Spanned, codes, suggest};
use crate::plan::document::{PortText, RoleEndpointDocument};
use crate::plan::transport::access::admission;
use std::net::IpAddr;
use std::sync::Arc;

/// The word for a dynamic port.
const DYNAMIC: &str = "*";
/// Maximum number of ports of one range.
const MAX_PORTS: usize = 1024;

const KINDS: [EndpointKind; 3] = [EndpointKind::Input, EndpointKind::InstanceInput, EndpointKind::Internal];

/// Compiles an endpoint.
pub struct EndpointCompiler<'d, 'o> {
    pub role: &'d Arc<str>,
    pub name: &'d Spanned<String>,
    pub document: &'d Spanned<RoleEndpointDocument>,
    pub options: &'d RoleOptions,
    pub diagnostics: &'o mut Diagnostics,
}

impl EndpointCompiler<'_, '_> {
    /// The endpoint; `None`: its kind or its protocol is unknown.
    pub fn endpoint(&mut self) -> Option<RoleEndpoint> {
        let kind = self.kind()?;
        let protocol = self.protocol(kind);
        self.report_unused(kind, protocol);
        let instance_port = match kind {
            EndpointKind::Input => self.input_port(),
            EndpointKind::InstanceInput => self.fixed_local_port(),
            EndpointKind::Internal => self.internal_port(protocol?),
        };
        let passes_through = self.passes_through(protocol?);
        let bind_address = self.bind_address(kind);
        Some(RoleEndpoint {
            role: self.role.clone(),
            name: self.name.value.as_str().into(),
            full_name: Spanned::new(format!("{}.{}", self.role, self.name.value), self.document.span),
            kind,
            protocol: protocol?,
            instance_port,
            public_port: (kind == EndpointKind::Input).then(|| self.public_port()).flatten(),
            public_ports: (kind == EndpointKind::InstanceInput).then(|| self.public_ports()).flatten(),
            gateway_port: self.gateway_port(kind, instance_port),
            ignores_status: self.document.ignore_instance_status.as_ref().is_some_and(|on| on.value),
            passes_through,
            bind_address,
            admission: admission(
                &self.document.access_rules,
                &self.document.ip_filter,
                None,
                self.diagnostics,
            ),
        })
    }

    fn report(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.diagnostics.error(codes::ROLE_ENDPOINT, span, message)
    }

    fn kind(&mut self) -> Option<EndpointKind> {
        let names = KINDS.map(EndpointKind::name);
        let Some(text) = non_blank(&self.document.kind) else {
            let (span, name) = (self.document.span, &self.name.value);
            let message = format!("the endpoint {name} has no Kind");
            self.report(span, message).help(format!("expected {}", suggest::one_of(&names)));
            return None;
        };
        let found = KINDS.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text.trim()));
        if found.is_none() {
            let message = format!("unknown Kind \"{}\"", text.value);
            self.report(text.span, message).expected(text, &names);
        }
        found
    }

    fn protocol(&mut self, kind: EndpointKind) -> Option<EndpointProtocol> {
        use EndpointProtocol::{Any, Http, Https, Tcp, Udp};
        let known: &[EndpointProtocol] = match kind {
            EndpointKind::Input => &[Http, Https, Tcp, Udp],
            EndpointKind::InstanceInput => &[Tcp, Udp],
            EndpointKind::Internal => &[Http, Tcp, Udp, Any],
        };
        let names: Vec<&str> = known.iter().map(|protocol| protocol.name()).collect();
        let Some(text) = non_blank(&self.document.protocol) else {
            let (span, name) = (self.document.span, &self.name.value);
            let message = format!("the endpoint {name} has no Protocol");
            self.report(span, message).help(format!("expected {}", suggest::one_of(&names)));
            return None;
        };
        let found = known.iter().copied().find(|known| known.name().eq_ignore_ascii_case(text.trim()));
        if found.is_none() {
            let message = format!("an {} endpoint has no Protocol \"{}\"", kind.name(), text.value);
            self.report(text.span, message).expected(text, &names);
        }
        found
    }

    /// Settings that belong to another kind or protocol.
    fn report_unused(&mut self, kind: EndpointKind, protocol: Option<EndpointProtocol>) {
        use EndpointKind::{Input, InstanceInput, Internal};
        let document = self.document;
        let is_https = protocol == Some(EndpointProtocol::Https);
        let is_http = is_https || protocol == Some(EndpointProtocol::Http);
        let span = |set: &Setting<PortText>| set.as_ref().map(|set| set.span);
        let unused: [(&str, Option<Span>, bool); 14] = [
            ("Port", document.port.as_ref().map(|set| set.span), kind != InstanceInput),
            ("LocalPort", span(&document.local_port), kind != Internal),
            ("PublicPorts", span(&document.public_ports), kind == InstanceInput),
            ("PortRange", span(&document.port_range), kind == Internal),
            ("GatewayPort", document.gateway_port.as_ref().map(|set| set.span), kind == Internal),
            ("Tls", document.listener_tls.as_ref().map(|set| set.span), kind == Input && is_https),
            ("TlsMode", document.tls_mode.as_ref().map(|set| set.span), kind == Input && is_https),
            ("AccessRules", document.access_rules.as_ref().map(|set| set.span), kind != Internal),
            ("SecurityOptions", document.ip_filter.as_ref().map(|set| set.span), kind != Internal),
            (
                "LoadBalancerOptions",
                document.load_balancer.as_ref().map(|set| set.span),
                kind != InstanceInput,
            ),
            ("HealthCheckOptions", document.health.as_ref().map(|set| set.span), kind != InstanceInput),
            ("TransportOptions", document.transport.as_ref().map(|set| set.span), !is_http),
            (
                "IgnoreInstanceStatus",
                document.ignore_instance_status.as_ref().map(|set| set.span),
                kind != InstanceInput,
            ),
            ("BindAddress", document.bind_address.as_ref().map(|set| set.span), true),
        ];
        for (setting, span, is_used) in unused {
            let Some(span) = span.filter(|_| !is_used) else { continue };
            let protocol = protocol.map_or("", EndpointProtocol::name);
            let message = format!("{setting} has no effect on an {} endpoint with {protocol}", kind.name());
            self.report(span, message).help(format!("remove {setting}"));
        }
    }

    fn number(&mut self, setting: &str, set: &Setting<i64>) -> Option<u16> {
        let set = set.as_ref()?;
        let port = u16::try_from(set.value).ok().filter(|port| *port > 0);
        if port.is_none() {
            self.diagnostics
                .error(codes::BAD_PORT, set.span, format!("invalid {setting} {}", set.value))
                .help("must be between 1 and 65535");
        }
        port
    }

    fn range(&mut self, setting: &str, set: &Setting<PortText>) -> Option<PortRange> {
        let set = set.as_ref()?;
        let range = PortRange::parse(&set.value.0);
        if range.is_none() {
            let message = format!("invalid {setting} \"{}\"", set.value.0);
            self.diagnostics
                .error(codes::PORT_RANGE, set.span, message)
                .help("expected a port, or a range such as \"8995-8999\" with the lower port first");
        }
        if let Some(range) = range.filter(|range| range.len() > MAX_PORTS) {
            self.diagnostics
                .error(codes::PORT_RANGE, set.span, format!("{setting} has {} ports", range.len()))
                .help(format!("must be at most {MAX_PORTS} ports"));
            return None;
        }
        range
    }

    fn public_port(&mut self) -> Option<u16> {
        if self.document.port.is_none() {
            self.report(self.document.span, "an Input endpoint needs a Port").help("set the public port");
        }
        self.number("Port", &self.document.port)
    }

    fn public_ports(&mut self) -> Option<PortRange> {
        if self.document.public_ports.is_none() {
            self.report(self.document.span, "an InstanceInput endpoint needs PublicPorts")
                .help("set a range such as \"10105-10109\"");
        }
        self.range("PublicPorts", &self.document.public_ports)
    }

    fn local_port(&mut self) -> Option<InstancePort> {
        let set = self.document.local_port.as_ref()?;
        if set.value.0 == DYNAMIC {
            return Some(InstancePort::Dynamic);
        }
        let port = set.value.0.parse::<u16>().ok().filter(|port| *port > 0);
        if port.is_none() {
            self.diagnostics
                .error(codes::BAD_PORT, set.span, format!("invalid LocalPort \"{}\"", set.value.0))
                .help("must be between 1 and 65535, or \"*\" for a dynamic port");
        }
        port.map(InstancePort::Fixed)
    }

    fn input_port(&mut self) -> InstancePort {
        let port = self.document.port.as_ref().and_then(|port| u16::try_from(port.value).ok()).unwrap_or(0);
        self.local_port().unwrap_or(InstancePort::Fixed(port))
    }

    fn fixed_local_port(&mut self) -> InstancePort {
        if self.document.local_port.is_none() {
            self.report(self.document.span, "an InstanceInput endpoint needs a LocalPort")
                .help("set the port of the instances");
        }
        self.local_port().unwrap_or(InstancePort::Dynamic)
    }

    fn internal_port(&mut self, protocol: EndpointProtocol) -> InstancePort {
        let (port, range) =
            (self.number("Port", &self.document.port), self.range("PortRange", &self.document.port_range));
        match (&self.document.port, &self.document.port_range) {
            (Some(_), Some(set)) => {
                self.report(set.span, "Port and PortRange are set together").help("remove one of them");
            }
            (None, None) if protocol == EndpointProtocol::Any => {
                self.report(self.document.span, "an endpoint with any needs a Port or a PortRange")
                    .help("set the port of the instances");
            }
            (None, Some(set)) if protocol == EndpointProtocol::Http => {
                self.report(set.span, "an endpoint with http has no PortRange")
                    .help("set a Port, or use tcp");
            }
            _ => {}
        }
        match (port, range) {
            (Some(port), _) => InstancePort::Fixed(port),
            (None, Some(range)) => InstancePort::Range(range),
            (None, None) => InstancePort::Dynamic,
        }
    }

    fn gateway_port(&mut self, kind: EndpointKind, port: InstancePort) -> Option<u16> {
        let first = self.number("GatewayPort", &self.document.gateway_port)?;
        let count = match port {
            InstancePort::Range(range) => range.len(),
            _ => 1,
        };
        if usize::from(first) + count - 1 > 65_535 {
            let span = self.document.gateway_port.as_ref().map_or(self.document.span, |set| set.span);
            self.diagnostics
                .error(codes::PORT_RANGE, span, format!("{count} ports from {first} exceed 65535"))
                .help("choose a lower GatewayPort");
        }
        (kind == EndpointKind::Internal).then_some(first)
    }

    fn passes_through(&mut self, protocol: EndpointProtocol) -> bool {
        let mode = choice(
            "TlsMode",
            &self.document.tls_mode,
            &[("Terminate", false), ("Passthrough", true)],
            self.diagnostics,
        );
        if protocol == EndpointProtocol::Https && !mode && self.document.listener_tls.is_none() {
            self.report(self.document.span, "an endpoint with https needs Tls")
                .help("set Tls with Certificates, or \"TlsMode\": \"Passthrough\"");
        }
        protocol == EndpointProtocol::Https && mode
    }

    fn bind_address(&mut self, kind: EndpointKind) -> IpAddr {
        let default = match kind {
            EndpointKind::Internal => self.options.internal_bind_address,
            _ => self.options.bind_address,
        };
        address(&self.document.bind_address, self.diagnostics).unwrap_or(default)
    }
}
