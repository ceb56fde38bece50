//! `Listeners[]`: where the gateway accepts, and the TLS it speaks there.

use super::values::{BoxedSetting, List, Setting};
use crate::base::units::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;

/// An address the gateway accepts requests on.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListenerDocument {
    /// A name for logs and metrics. Default: the address.
    pub name: Setting<String>,
    /// Address and port, such as `0.0.0.0:80` or `[::]:8080`; port 0 lets the system choose. Or a socket of this machine:
    /// `unix:/run/margay.sock` (relative: beside the configuration file), `unix:@name` for a name that no file stands for;
    /// at most 107 bytes. Required.
    pub address: Setting<String>,
    /// Who may connect to a socket that is a file: its mode in octal, `"0660"`. 000 to 0777. Default: what the umask of the
    /// process leaves.
    pub unix_mode: Setting<String>,
    /// Proxies in front say for whom they come, before everything else. Default: nobody does.
    /// Source: HAProxy, PROXY protocol versions 1 and 2.
    pub proxy_protocol: Setting<ProxyProtocolDocument>,
    /// TLS on this address. Default: none, plain http.
    pub tls: BoxedSetting<ListenerTlsDocument>,
    /// The https port to which every request is sent on (308), in the place of routes: 443 as a rule. 1 to 65535. Not
    /// together with `Tls`. Default: none, requests are served.
    pub redirect_to_https: Setting<i32>,
}

/// The PROXY protocol in front of connections, version 1 or 2.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProxyProtocolDocument {
    /// The proxies whose word counts: addresses, ranges (`10.0.0.1-9`), or networks (`10.0.0.0/8`); `unix` for a listener
    /// that is a socket of this machine. At least one. Required.
    pub trusted: List<String>,
    /// `Required`: who is not trusted, or says nothing, is closed without an answer. `Optional`: both are served as who
    /// they are. Default: `Required`.
    pub mode: Setting<String>,
    /// The time for the header. 100ms to 10m. Default: `5s`.
    pub timeout: Setting<DurationText>,
}

/// The TLS of a listener. Names of files are relative to the configuration file; the files are watched as it is, and
/// what they hold serves the next handshake.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListenerTlsDocument {
    /// The certificates, chosen by the name that the client asks for (SNI). The first one serves clients that ask for no
    /// name or for one that nobody has. At least one. Required.
    pub certificates: List<ListenerCertificateDocument>,
    /// The oldest version: `"1.2"` or `"1.3"`. Default: `"1.2"`. Source: RFC 5246, RFC 8446.
    pub min_version: Setting<String>,
    /// Whether clients show certificates of their own. Default: they are not asked.
    pub client_certificates: Setting<ClientCertificatesDocument>,
    /// What is offered by ALPN, the dearest first: `h2`, `http/1.1`. Default: `["h2", "http/1.1"]`. Source: RFC 7301.
    pub alpn: List<String>,
    /// The time for a handshake. 100ms to 10m. Default: `10s`.
    pub handshake_timeout: Setting<DurationText>,
    /// What browsers are told to remember: to ask for https only. Default: nothing. Source: RFC 6797.
    pub strict_transport_security: Setting<StrictTransportSecurityDocument>,
}

/// A certificate and its key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListenerCertificateDocument {
    /// A PEM file with the certificate and behind it those of the authorities in between. Required.
    pub certificate_file: Setting<String>,
    /// A PEM file with the private key: PKCS#8, SEC1 or PKCS#1. Required.
    pub key_file: Setting<String>,
    /// The names it is shown for, `*.example.com` for all names one level below. Default: those in the certificate.
    pub hosts: List<String>,
}

/// Certificates that clients show.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClientCertificatesDocument {
    /// `Required`: without a good certificate there is no connection. `Optional`: without one there is, with a bad one
    /// there is not. Default: `Required`.
    pub mode: Setting<String>,
    /// PEM certificates of the authorities whose certificates are good. Required.
    pub ca_file: Setting<String>,
    /// Whether services are told of the certificate in `X-Client-Certificate` (a byte sequence as in RFC 9440). What
    /// clients send in that field is removed always. Default: false.
    pub forward: Setting<bool>,
}

/// `Strict-Transport-Security`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct StrictTransportSecurityDocument {
    /// How long it is remembered, in whole seconds; `0s` makes browsers forget. 0s to 3650d. Default: `365d`.
    pub max_age: Setting<DurationText>,
    /// Whether it holds for all names below too. Default: false.
    pub include_sub_domains: Setting<bool>,
    /// Whether the name may be built into browsers; wants `IncludeSubDomains` and a year. Default: false.
    pub preload: Setting<bool>,
}
