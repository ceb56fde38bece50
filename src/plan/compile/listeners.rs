//! `Listeners` → addresses and TLS: certificates with their keys and names, and client certificates.

use super::limits::report_duplicate_name;
use super::listener_name::listener_name;
use super::transport_listeners::{self, DeclaredListener};
use super::unix_sockets::{address, parse_mode, proxy_protocol};
use crate::base::units::DurationText;
use crate::config::ranges::RangeChecker;
use crate::config::{Diagnostics, ReferencedFiles, Sources, Span, Spanned, codes, suggest};
use crate::net::listener::Address;
use crate::net::proxy_protocol::ProxyProtocolConfig;
use crate::net::tls::certificate::{CertifiedKeyPem, KeyPairError, certificate_info};
use crate::net::tls::server::{ClientAuth, ListenerCertificate, ServerTls};
use crate::net::tls::sni::is_host_pattern;
use crate::net::tls::trust::{certificates, parse_authorities};
use crate::plan::blueprint::{HttpsRedirect, Listener, ListenerProtocol};
use crate::plan::check::{items, non_blank};
use crate::plan::document::*;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The default listener.
pub const DEFAULT_LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The ALPN protocols that can be offered.
const PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// The listeners for traffic.
pub fn listeners(
    document: &Document,
    sources: &Sources,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> Vec<Listener> {
    let documents = items(&document.listeners);
    let mut listeners: Vec<Listener> = documents
        .iter()
        .flat_map(|document| ListenerCompiler { document, sources, attached, diagnostics }.listeners())
        .collect();
    restrict_redirects(&mut listeners);
    // Public ports of instances are enough for a gateway without routes.
    let has_roles = document.roles.as_ref().is_some_and(|roles| !roles.is_empty());
    if documents.is_empty() && !has_roles {
        listeners.push(Listener::plain(DEFAULT_LISTENER.to_string(), DEFAULT_LISTENER));
    }
    report_duplicate_name(documents, diagnostics);
    listeners
}

/// Requests are redirected to the hosts of the certificates, unless configured.
fn restrict_redirects(listeners: &mut [Listener]) {
    let certificates =
        listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.certificates);
    let own: Box<[String]> = certificates.flat_map(|shown| shown.server_names.iter().cloned()).collect();
    let redirects = listeners.iter_mut().filter_map(|listener| listener.redirect.as_mut());
    for redirect in redirects.filter(|redirect| redirect.hosts.is_none() && !own.is_empty()) {
        redirect.hosts = Some(own.clone());
    }
}

/// TLS of the administration address, which has the settings of a listener, and its HSTS.
pub(super) fn administration_tls(
    tls: &BoxedSetting<ListenerTlsDocument>,
    sources: &Sources,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> (Option<Arc<ServerTls>>, Option<Box<str>>) {
    let Some(set) = tls else { return (None, None) };
    let document =
        Spanned::new(ListenerDocument { tls: tls.clone(), ..ListenerDocument::default() }, set.span);
    let mut compiler = ListenerCompiler { document: &document, sources, attached, diagnostics };
    (compiler.tls(), compiler.hsts())
}

/// The names by which HTTP routes may refer to listeners.
pub fn names(document: &Document) -> Vec<String> {
    let documents = items(&document.listeners);
    if documents.is_empty() {
        return vec![DEFAULT_LISTENER.to_string()];
    }
    let is_http = |listener: &DeclaredListener| listener.protocol == ListenerProtocol::Http;
    let declared = transport_listeners::declared(documents).into_iter();
    declared.filter(is_http).map(|listener| listener.name).collect()
}

/// Compiles one listener.
struct ListenerCompiler<'r, 'o> {
    document: &'r Spanned<ListenerDocument>,
    sources: &'r Sources,
    attached: &'r ReferencedFiles,
    diagnostics: &'o mut Diagnostics,
}

impl<'r> ListenerCompiler<'r, '_> {
    /// One listener for each port of its address.
    fn listeners(&mut self) -> Vec<Listener> {
        let protocol = transport_listeners::protocol(self.document, self.diagnostics);
        let Some(listener) = self.listener(protocol) else { return Vec::new() };
        transport_listeners::each_port(self.document, listener, self.diagnostics)
    }

    fn listener(&mut self, protocol: ListenerProtocol) -> Option<Listener> {
        let document = self.document;
        let Some(text) = &document.address else {
            self.diagnostics
                .error(codes::BAD_ADDRESS, document.span, "the listener has no Address")
                .help("set one, such as \"Address\": \"127.0.0.1:8080\"");
            return None;
        };
        let (tls, hsts, redirect) = (self.tls(), self.hsts(), self.https_redirect());
        let address = match protocol {
            ListenerProtocol::Http => address(text, self.sources, self.diagnostics)?,
            _ => transport_listeners::address(text, protocol, self.sources, self.diagnostics)?,
        };
        let name = listener_name(document).unwrap_or_else(|| address.to_string());
        let (mode, proxy) = (parse_mode(document, &address, self.diagnostics), self.proxy(&address));
        let span = Some(text.span);
        let escaped_separators = document.path_with_escaped_separators.as_ref().map(|set| set.value);
        let is_behind_tls = document.behind_tls.as_ref().is_some_and(|on| on.value);
        let plain = Listener { is_behind_tls, ..Listener::plain(name, address) };
        Some(Listener { mode, proxy, span, tls, hsts, redirect, escaped_separators, protocol, ..plain })
    }

    fn proxy(&mut self, address: &Address) -> Option<Arc<ProxyProtocolConfig>> {
        let document = self.document.proxy_protocol.as_ref()?;
        let limit = self.duration_in_range("ProxyProtocol.Timeout", &document.timeout, 5, [100, 600_000]);
        Some(Arc::new(proxy_protocol(document, address, limit, self.diagnostics)))
    }

    /// The https port and the hosts to which requests are redirected.
    fn https_redirect(&mut self) -> Option<HttpsRedirect> {
        let hosts = self.redirect_hosts();
        let port = self.document.redirect_to_https.as_ref()?;
        if self.document.tls.is_some() {
            let message = "RedirectToHttps has no effect on a listener with Tls";
            self.diagnostics.error(codes::REDIRECT_WITH_TLS, port.span, message).help("remove one of them");
        }
        let read = u16::try_from(port.value).ok().filter(|port| *port > 0);
        if read.is_none() {
            let message = format!("invalid RedirectToHttps port {}", port.value);
            self.diagnostics
                .error(codes::BAD_PORT, port.span, message)
                .help("must be between 1 and 65535; the port of https is 443");
        }
        Some(HttpsRedirect { port: read?, hosts })
    }

    fn redirect_hosts(&mut self) -> Option<Box<[String]>> {
        let list = self.document.redirect_hosts.as_ref()?;
        if self.document.redirect_to_https.is_none() {
            let message = "RedirectHosts has no effect without RedirectToHttps";
            self.diagnostics
                .error(codes::REDIRECT_HOSTS, list.span, message)
                .help("remove it, or set RedirectToHttps");
        }
        let hosts = items(&self.document.redirect_hosts);
        for host in hosts.iter().filter(|host| host.value != "*" && !is_host_pattern(host)) {
            let message = format!("invalid host \"{}\" in RedirectHosts", host.value);
            self.diagnostics.error(codes::REDIRECT_HOSTS, host.span, message).help(
                "must be a host name, *. and a host name for all names one level below, or * for every host",
            );
        }
        Some(hosts.iter().map(|host| host.to_ascii_lowercase()).collect())
    }

    fn tls(&mut self) -> Option<Arc<ServerTls>> {
        let document = self.document.tls.as_ref()?;
        let certificates = self.certificates(document);
        let only_13 = self.is_tls13_only(document);
        Some(Arc::new(ServerTls {
            certificates,
            tls13_only: only_13,
            client_auth: document
                .client_certificates
                .as_ref()
                .and_then(|clients| self.client_certificates(clients)),
            alpn: self.protocols(document),
            handshake: self.duration_in_range(
                "HandshakeTimeout",
                &document.handshake_timeout,
                10,
                [100, 600_000],
            ),
        }))
    }

    fn certificates(&mut self, tls: &'r Spanned<Box<ListenerTlsDocument>>) -> Vec<ListenerCertificate> {
        let certificates = items(&tls.certificates);
        if certificates.is_empty() {
            let span = tls.certificates.as_ref().map_or(tls.span, |list| list.span);
            self.diagnostics.error(codes::NO_CERTIFICATES, span, "Tls has no Certificates").help(
                "add one, such as \"Certificates\": [{ \"CertificateFile\": \"site.pem\", \"KeyFile\": \"site.key\" }]",
            );
        }
        let mut seen = HashMap::new();
        let mut compiled = Vec::with_capacity(certificates.len());
        for certificate in certificates {
            let Some((read, kind)) = self.certificate(certificate) else { continue };
            for host in &read.server_names {
                if let Some(first) = seen.insert((host.clone(), kind.clone()), read.label.clone()) {
                    let message = format!("\"{}\" and \"{first}\" are both for {host}", read.label);
                    self.diagnostics
                        .error(codes::HOST_TWICE, certificate.span, message)
                        .help("set Hosts, or remove one; two certificates of one host must have keys of different kinds");
                }
            }
            compiled.push(read);
        }
        compiled
    }

    /// A certificate, and the kind of its key.
    fn certificate(
        &mut self,
        document: &'r Spanned<ListenerCertificateDocument>,
    ) -> Option<(ListenerCertificate, String)> {
        let chain = self.file("CertificateFile", document.span, &document.certificate_file);
        let key = self.file("KeyFile", document.span, &document.key_file);
        let ((chain_span, chain), (key_span, key)) = (chain?, key?);
        let pair = CertifiedKeyPem { chain: chain.into(), key: key.into() };
        let read = match pair.read() {
            Ok(read) => read,
            Err(KeyPairError::Chain(why)) => {
                return self.report_unusable_file(chain_span, "CertificateFile", &why);
            }
            Err(KeyPairError::Key(why)) => return self.report_unusable_file(key_span, "KeyFile", &why),
        };
        let named = certificates(&pair.chain).ok().and_then(|all| certificate_info(all.first()?));
        let hosts = match items(&document.hosts) {
            [] => named.map(|facts| facts.dns).unwrap_or_default(),
            hosts => self.hosts(hosts),
        };
        let label = non_blank(&document.certificate_file).map_or_else(String::new, |name| name.value.clone());
        Some((
            ListenerCertificate { label, certified_key: pair, server_names: hosts },
            format!("{:?}", read.key.algorithm()),
        ))
    }

    fn hosts(&mut self, hosts: &[Spanned<String>]) -> Vec<String> {
        for host in hosts.iter().filter(|host| !is_host_pattern(host)) {
            let message = format!("invalid certificate host \"{}\"", host.value);
            self.diagnostics
                .error(codes::BAD_CERTIFICATE_HOST, host.span, message)
                .help("must be a host name, or *. and a host name for all names one level below");
        }
        hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
    }

    fn report_unusable_file<T>(&mut self, span: Span, setting: &str, why: &str) -> Option<T> {
        self.diagnostics.error(codes::BAD_CERTIFICATE, span, format!("{setting}: {why}"));
        None
    }

    /// The content of a file that is required.
    fn file(&mut self, setting: &str, owner: Span, set: &Setting<String>) -> Option<(Span, &'r [u8])> {
        let Some(name) = non_blank(set) else {
            self.diagnostics.error(codes::BAD_CERTIFICATE, owner, format!("{setting} is missing"));
            return None;
        };
        match self.attached.get(name.span) {
            Ok(content) => Some((name.span, content)),
            Err(why) => self.report_unusable_file(
                name.span,
                setting,
                &format!("\"{}\" cannot be read: {why}", name.value),
            ),
        }
    }

    fn is_tls13_only(&mut self, tls: &ListenerTlsDocument) -> bool {
        let Some(version) = non_blank(&tls.min_version) else { return false };
        if !["1.2", "1.3"].contains(&version.trim()) {
            let message = format!("unsupported MinVersion \"{}\"", version.value);
            self.diagnostics
                .error(codes::BAD_TLS_VERSION, version.span, message)
                .help("expected \"1.2\" or \"1.3\"");
        }
        version.trim() == "1.3"
    }

    fn client_certificates(
        &mut self,
        document: &'r Spanned<ClientCertificatesDocument>,
    ) -> Option<ClientAuth> {
        const UNIX_MODES: [&str; 2] = ["Required", "Optional"];
        let mode = non_blank(&document.mode);
        if let Some(mode) =
            mode.filter(|mode| !UNIX_MODES.iter().any(|known| known.eq_ignore_ascii_case(mode.trim())))
        {
            let message = format!("unknown Mode \"{}\" of ClientCertificates", mode.value);
            let diagnostic = self.diagnostics.error(codes::UNKNOWN_CHOICE, mode.span, message);
            if let Some(meant) = suggest::closest_match(mode, UNIX_MODES) {
                diagnostic.help(format!("did you mean \"{meant}\"?"));
            }
        }
        let (span, pem) = self.file("CaFile", document.span, &document.ca_file)?;
        if let Err(why) = parse_authorities(pem) {
            return self.report_unusable_file(span, "CaFile", &why);
        }
        let required = !mode.is_some_and(|mode| mode.trim().eq_ignore_ascii_case("Optional"));
        let forward = document.forward.as_ref().is_some_and(|forward| forward.value);
        let checks_open_connections =
            document.check_open_connections.as_ref().is_none_or(|check| check.value);
        Some(ClientAuth {
            authorities: pem.into(),
            required,
            forward_certificate: forward,
            checks_open_connections,
        })
    }

    fn protocols(&mut self, tls: &ListenerTlsDocument) -> Vec<String> {
        let protocols = items(&tls.alpn);
        if self.document.protocol.as_ref().is_some_and(|set| set.trim().eq_ignore_ascii_case("tcp")) {
            return transport_listeners::alpn(protocols, self.diagnostics);
        }
        for name in protocols.iter().filter(|name| !PROTOCOLS.contains(&name.as_str())) {
            let message = format!("unsupported protocol \"{}\"", name.value);
            let known = format!("expected {}", suggest::one_of(&PROTOCOLS));
            self.diagnostics.error(codes::BAD_PROTOCOL, name.span, message).help(known);
        }
        match (protocols, &tls.alpn) {
            ([], None) => PROTOCOLS.map(str::to_owned).to_vec(),
            (names, _) => names.iter().map(|name| name.value.clone()).collect(),
        }
    }

    /// A duration in milliseconds, within its range.
    fn duration_in_range(
        &mut self,
        setting: &str,
        set: &Setting<DurationText>,
        default_value: u64,
        range: [u64; 2],
    ) -> Duration {
        let [min, max] = range.map(Duration::from_millis);
        let default_value = Duration::from_secs(default_value);
        RangeChecker::for_code(codes::LIMIT_RANGE, self.diagnostics).time(
            setting,
            set,
            default_value,
            min,
            max,
        )
    }

    /// The value of `Strict-Transport-Security` (RFC 6797 6.1).
    fn hsts(&mut self) -> Option<Box<str>> {
        let document = self.document.tls.as_ref()?.strict_transport_security.as_ref()?;
        let on = |set: &Setting<bool>| set.as_ref().is_some_and(|on| on.value);
        let age = self.duration_in_range("MaxAge", &document.max_age, YEAR.as_secs(), [0, 3650 * 86_400_000]);
        let (below, preload) = (on(&document.include_sub_domains), on(&document.preload));
        if preload && (!below || age < YEAR) {
            let span = document.preload.as_ref().map_or(document.span, |preload| preload.span);
            let message = "Preload requires IncludeSubDomains and a MaxAge of at least one year";
            self.diagnostics.error(codes::USELESS_PRELOAD, span, message);
        }
        let mut value = format!("max-age={}", age.as_secs());
        let _ = write!(
            value,
            "{}{}",
            if below { "; includeSubDomains" } else { "" },
            if preload { "; preload" } else { "" }
        );
        Some(value.into())
    }
}
