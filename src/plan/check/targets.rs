//! No setting may lead to the administration address. Names that only DNS knows are checked when the gateway connects.

use super::{CheckContext, items, non_blank};
use crate::base::url::HttpUrl;
use crate::config::{Diagnostics, Span, Spanned, codes, values::Setting};
use crate::net::{listener::Address, reserved::is_named_by};
use crate::plan::document::{DiscoveryDocument, HostAndPort};

/// Reports endpoints, discovery providers, URLs of keys and redirects that lead to the administration.
pub fn check(scope: &CheckContext, administration: &Address, diagnostics: &mut Diagnostics) {
    let section = scope.document.administration.as_ref();
    let is_configured = section.is_some_and(|section| section.address.is_some());
    let mut targets = Targets { scope, administration, is_configured, diagnostics };
    for route in scope.routes() {
        items(&route.endpoints).iter().for_each(|endpoint| targets.endpoint(endpoint));
    }
    for route in items(&scope.document.transport_routes) {
        items(&route.endpoints).iter().for_each(|endpoint| targets.endpoint(endpoint));
    }
    for (_, cluster) in scope.document.clusters.iter().flat_map(|clusters| clusters.iter()) {
        items(&cluster.endpoints).iter().for_each(|endpoint| targets.endpoint(endpoint));
        targets.discovery(&cluster.discovery);
    }
    targets.discovery(&scope.global.discovery);
    for (_, scheme) in scope.document.authentication_schemes.iter().flat_map(|schemes| schemes.iter()) {
        targets.url(&scheme.jwks_uri);
        targets.url(&scheme.authority);
        targets.url(&scheme.introspection_endpoint);
        targets.url(&scheme.url);
    }
    if let Some(otlp) = &scope.document.otlp {
        targets.url(&otlp.endpoint);
    }
    for listener in items(&scope.document.listeners) {
        targets.redirect(&listener.redirect_to_https);
    }
}

struct Targets<'c, 'd> {
    scope: &'c CheckContext<'c>,
    administration: &'c Address,
    /// The document sets the address: another one than the default cannot be a coincidence.
    is_configured: bool,
    diagnostics: &'d mut Diagnostics,
}

impl Targets<'_, '_> {
    fn endpoint(&mut self, endpoint: &HostAndPort) {
        self.host_and_port(&endpoint.host, &endpoint.port);
    }

    fn discovery(&mut self, discovery: &Setting<DiscoveryDocument>) {
        if let Some(discovery) = discovery {
            self.host_and_port(&discovery.host, &discovery.port);
        }
    }

    fn host_and_port(&mut self, host: &Setting<String>, port: &Setting<i32>) {
        let Some(host) = non_blank(host) else { return };
        let port = port.as_ref().and_then(|port| u16::try_from(port.value).ok()).unwrap_or(0);
        self.target(host, host.trim(), port);
    }

    fn url(&mut self, setting: &Setting<String>) {
        let Some(text) = non_blank(setting) else { return };
        if let Ok(url) = HttpUrl::parse(text.trim()) {
            self.target(text, &url.host, url.port);
        }
    }

    fn target(&mut self, setting: &Spanned<String>, host: &str, port: u16) {
        let folder = self.scope.sources.get(setting.span.file).and_then(|source| source.path.as_deref());
        if is_named_by(self.administration, host, port, folder.and_then(std::path::Path::parent)) {
            let message =
                format!("\"{}\" leads to the administration address {}", setting.value, self.administration);
            self.report(setting.span, message);
        }
    }

    fn redirect(&mut self, port: &Setting<i32>) {
        let Some(port) = port else { return };
        let Address::Tcp(administration) = self.administration else { return };
        if i32::from(administration.port()) == port.value && port.value != 0 {
            let message =
                format!("RedirectToHttps leads clients to the administration address {administration}");
            self.report(port.span, message);
        }
    }

    /// A warning for the default address, which the command line usually replaces in that case.
    fn report(&mut self, span: Span, message: String) {
        let diagnostic = match self.is_configured {
            true => self.diagnostics.error(codes::ADMINISTRATION_TARGET, span, message),
            false => self.diagnostics.warning(codes::ADMINISTRATION_TARGET, span, message),
        };
        diagnostic.help("choose another address, or set Administration.Address");
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, InMemoryFiles, Severity};
    use crate::plan::{compile, document::load_texts};

    /// The severities of the diagnostics about the target.
    fn reported(text: &str) -> Vec<Severity> {
        let files = [("gateway.json", text)];
        let files = InMemoryFiles { files: &files, ..InMemoryFiles::default() };
        let mut loaded = load_texts(&files, Environment::of_process());
        let _ = compile(&mut loaded);
        let all = loaded.diagnostics.list.iter().filter(|one| one.code.0 == "MG1206");
        all.map(|one| one.severity).collect()
    }

    fn route(host: &str, port: u16) -> String {
        format!(
            r#"{{ "UpstreamPathTemplate": "/", "DownstreamPathTemplate": "/", "DownstreamScheme": "http",
               "DownstreamHostAndPorts": [{{ "Host": "{host}", "Port": {port} }}] }}"#
        )
    }

    #[test]
    fn every_alias_of_a_configured_address_is_an_error() {
        const HOSTS: [&str; 9] = [
            "127.0.0.1",
            "localhost",
            "LocalHost",
            "a.localhost",
            "127.1.2.3",
            "::1",
            "[::1]",
            "0.0.0.0",
            "::ffff:127.0.0.1",
        ];
        for host in HOSTS {
            let text =
                |administration: &str| format!(r#"{{ {administration} "Routes": [{}] }}"#, route(host, 8081));
            let configured = text(r#""Administration": { "Address": "127.0.0.1:8081" },"#);
            assert_eq!(reported(&configured), [Severity::Error], "{host}");
            assert_eq!(reported(&text("")), [Severity::Warning], "{host}");
            let other = text(r#""Administration": { "Address": "127.0.0.1:9999" },"#);
            assert_eq!(reported(&other), [], "{host}");
        }
        let route = route("unix:/run/admin.sock", 0);
        let text = format!(
            r#"{{ "Administration": {{ "Address": "unix:/run/admin.sock" }}, "Routes": [{route}] }}"#
        );
        assert_eq!(reported(&text), [Severity::Error]);
    }

    #[test]
    fn clusters_providers_key_urls_and_redirects_are_checked() {
        for section in [
            r#""Clusters": { "a": { "Endpoints": [{ "Host": "localhost", "Port": 8081 }] } }"#,
            r#""GlobalConfiguration": { "ServiceDiscoveryProvider": { "Host": "localhost", "Port": 8081 } }"#,
            r#""AuthenticationSchemes": { "a": { "Type": "JwtBearer", "JwksUri": "http://localhost:8081/x" } }"#,
            r#""AuthenticationSchemes": { "a": { "Type": "JwtBearer", "Authority": "https://[::1]:8081" } }"#,
            r#""Otlp": { "Endpoint": "http://localhost:8081" }"#,
            r#""Listeners": [{ "Address": "127.0.0.1:80", "RedirectToHttps": 8081 }]"#,
        ] {
            let text = format!(r#"{{ "Administration": {{ "Address": "127.0.0.1:8081" }}, {section} }}"#);
            assert_eq!(reported(&text), [Severity::Error], "{section}");
        }
    }
}
