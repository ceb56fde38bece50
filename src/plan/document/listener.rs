//! `Listeners[]`: addresses, PROXY protocol, TLS, client certificates and HSTS.

use super::shared::*;
use crate::base::units::DurationText;
use crate::config::values::{BoxedSetting, List, Setting};
use crate::plan::routing::EscapedSeparators;
use schemars::JsonSchema;
use serde::Deserialize;

/// Emits the document of a listener, with the settings that it shares with other documents.
macro_rules! listener_document {
    ({ listener [$($attributes:tt)*] $name:ident [$($fields:tt)*] }) => {
        waf_settings! { listener_struct { listener [$($attributes)*] $name [$($fields)*] } }
    };
}

macro_rules! listener_struct {
    ({ listener [$($attributes:tt)*] $name:ident [$($fields:tt)*] }) => {
        $($attributes)*
        pub struct $name { $($fields)* }
    };
}

separator_settings! {
    listener_document {
        listener [
            /// An address on which the gateway accepts requests.
            #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
            #[serde(rename_all = "PascalCase", default)]
        ]
        ListenerDocument [
            /// The name in logs and metrics. Default: the address.
            pub name: Setting<String>,
            /// `Http`, `Tcp`, `Udp` or `Mqtt`: TCP connections and UDP datagrams are forwarded by `TransportRoutes`, MQTT is for
            /// devices of `Tunnels.DeviceStreams`. Default: `Http`.
            pub protocol: Setting<String>,
            /// `host:port`, such as `0.0.0.0:80` or `[::]:8080`; with port 0 the system assigns a port. Or a Unix domain
            /// socket: `unix:/run/margay.sock` (relative paths are resolved against the configuration file), `unix:@name` for a
            /// name in the abstract namespace; at most 107 bytes. With `Protocol` `Tcp` and `Udp` also a range of at most 1024
            /// ports, `127.0.0.1:8995-8999`; UDP has no Unix domain sockets. Required.
            pub address: Setting<String>,
            /// A proxy in front of the listener ends TLS, so tokens of agents and devices are not sent in the clear. Default: false.
            pub behind_tls: Setting<bool>,
            /// The permissions of a Unix domain socket file: its mode in octal, `"0660"`. 000 to 0777. Default: determined by
            /// the umask of the process.
            pub unix_mode: Setting<String>,
            /// PROXY protocol: trusted load balancers in front of the gateway send the client's address before the first
            /// request. Default: off. Source: HAProxy, PROXY protocol versions 1 and 2.
            pub proxy_protocol: Setting<ProxyProtocolDocument>,
            /// TLS on this address. Default: none, plain HTTP.
            pub tls: BoxedSetting<ListenerTlsDocument>,
            /// The https port to which every request is redirected (308) instead of being routed, usually 443; not those that
            /// arrived over https at a trusted proxy. 1 to 65535. Not with `Tls`. Default: none, requests are routed.
            pub redirect_to_https: Setting<i32>,
            /// The hosts that requests are redirected to; `*.example.com` matches all names one level below, `*` every host.
            /// Requests for other hosts are rejected with 421. Only with `RedirectToHttps`. Default: the hosts of the
            /// certificates of all listeners; `["*"]` if there are none.
            pub redirect_hosts: List<String>,
        ]
    }
}

/// The PROXY protocol on accepted connections, version 1 or 2.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProxyProtocolDocument {
    /// The trusted proxies: addresses, ranges (`10.0.0.1-9`), or networks (`10.0.0.0/8`); `unix` for a listener on a
    /// Unix domain socket. At least one. Required.
    pub trusted: List<String>,
    /// `Required`: connections from untrusted peers or without the header are closed without a response. `Optional`:
    /// both are served with the address of the peer. Default: `Required`.
    pub mode: Setting<String>,
    /// Time to receive the header. 100ms to 10m. Default: `5s`.
    pub timeout: Setting<DurationText>,
}

/// TLS of a listener. File names are relative to the configuration file; the files are watched, and changes apply to
/// the next handshake.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListenerTlsDocument {
    /// The certificates, selected by the server name that the client sends (SNI). The first one is the default, for
    /// clients without SNI and for unknown names. At least one. Required.
    pub certificates: List<ListenerCertificateDocument>,
    /// The minimum TLS version: `"1.2"` or `"1.3"`. Default: `"1.2"`. Source: RFC 5246, RFC 8446.
    pub min_version: Setting<String>,
    /// Mutual TLS: whether client certificates are requested and verified. Default: not requested.
    pub client_certificates: Setting<ClientCertificatesDocument>,
    /// The ALPN protocols in order of preference: `h2`, `http/1.1`; with `Protocol` `Tcp` any. Default: `["h2",
    /// "http/1.1"]`; with `Tcp` none. Source: RFC 7301.
    pub alpn: List<String>,
    /// Timeout of the TLS handshake. 100ms to 10m. Default: `10s`.
    pub handshake_timeout: Setting<DurationText>,
    /// HSTS: the `Strict-Transport-Security` field of responses. Default: not sent. Source: RFC 6797.
    pub strict_transport_security: Setting<StrictTransportSecurityDocument>,
}

/// A certificate and its private key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListenerCertificateDocument {
    /// A PEM file with the certificate, followed by the intermediate certificates. Required.
    pub certificate_file: Setting<String>,
    /// A PEM file with the private key: PKCS#8, SEC1 or PKCS#1. Required.
    pub key_file: Setting<String>,
    /// The host names it is presented for; `*.example.com` matches all names one level below. Default: the names in the
    /// certificate.
    pub hosts: List<String>,
}

/// Mutual TLS: verification of client certificates.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClientCertificatesDocument {
    /// `Required`: a connection without a valid certificate is rejected. `Optional`: a connection without a certificate
    /// is accepted, one with an invalid certificate is rejected. Default: `Required`.
    pub mode: Setting<String>,
    /// A PEM file with the certificate authorities that client certificates must be issued by. Required.
    pub ca_file: Setting<String>,
    /// Whether requests of an open connection are rejected, and its WebSocket ends, once its certificate has expired.
    /// Default: true.
    pub check_open_connections: Setting<bool>,
    /// Whether the verified certificate is sent to backends in `Client-Cert` (RFC 9440). `Client-Cert`,
    /// `Client-Cert-Chain` and `X-Client-Certificate` fields sent by clients are always removed. Default: false.
    pub forward: Setting<bool>,
}

/// HSTS: the `Strict-Transport-Security` field of responses. Source: RFC 6797.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct StrictTransportSecurityDocument {
    /// How long browsers remember to use https only, in whole seconds; `0s` clears the entry. 0s to 3650d. Default:
    /// `365d`.
    pub max_age: Setting<DurationText>,
    /// Whether subdomains are included. Default: false.
    pub include_sub_domains: Setting<bool>,
    /// Whether the host may be added to the preload lists of browsers; requires `IncludeSubDomains` and a `MaxAge` of
    /// at least a year. Default: false.
    pub preload: Setting<bool>,
}
