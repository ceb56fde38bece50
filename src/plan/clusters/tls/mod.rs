//! `TlsOptions` → TLS with a backend: trust anchors, client certificate and server name.
//!
//! Envoy's upstream TLS context, nginx's `proxy_ssl_*`, .NET's `SslClientAuthenticationOptions`. Entry point:
//! [`TlsDocument::read`], called by `plan::compile::cluster` for each cluster. The result is plain settings;
//! connectors are built from it in `net::tls`. Nothing outlives a reload except connections with equal settings.

mod options;

pub use options::{GlobalTlsOptions, TlsOptions};

use super::Effective;
use crate::config::values::{Setting, non_blank};
use crate::config::{Diagnostics, ReferencedFiles, Span, codes};
use crate::net::tls::certificate::{CertifiedKeyPem, KeyPairError};
use crate::net::tls::client::{ClientTls, is_server_name};
use crate::net::tls::trust::{TrustAnchors, parse_authorities};
use crate::plan::blueprint::Scheme;

/// The TLS settings of a route or a cluster.
pub struct TlsDocument<'w> {
    pub options: Option<&'w Effective<'w, TlsOptions>>,
    /// Where the route or cluster sets them.
    pub own_span: Option<Span>,
    /// Whether any certificate is accepted.
    pub accept_any: &'w Setting<bool>,
    pub scheme: Scheme,
}

impl TlsDocument<'_> {
    /// The TLS settings of connections to the backend.
    pub fn read(&self, attached: Option<&ReferencedFiles>, diagnostics: &mut Diagnostics) -> ClientTls {
        let own = self.own_span.filter(|_| self.scheme == Scheme::Http);
        if let Some(own) = own {
            let message = "TlsOptions have no effect: DownstreamScheme is \"http\"";
            diagnostics.warning(codes::USELESS_TLS, own, message).help("set \"https\", or remove TlsOptions");
        }
        if self.scheme == Scheme::Http {
            return ClientTls::default();
        }
        let nothing = TlsOptions::default();
        let mut reader =
            TlsCompiler { options: self.options.map_or(&nothing, |options| options), attached, diagnostics };
        let trust = reader.trust();
        ClientTls {
            trust: reader.accept_any(self.accept_any).unwrap_or(trust),
            client_certificate: reader.identity(),
            name: reader.name(),
        }
    }
}

impl TlsOptions {
    /// The settings of connections that always use TLS and verify the certificate of the server.
    pub fn client_tls(&self, attached: Option<&ReferencedFiles>, diagnostics: &mut Diagnostics) -> ClientTls {
        let mut reader = TlsCompiler { options: self, attached, diagnostics };
        ClientTls { trust: reader.trust(), client_certificate: reader.identity(), name: reader.name() }
    }
}

struct TlsCompiler<'r, 'o> {
    options: &'r TlsOptions,
    attached: Option<&'r ReferencedFiles>,
    diagnostics: &'o mut Diagnostics,
}

impl<'r> TlsCompiler<'r, '_> {
    /// Accepts any certificate, if that is configured.
    fn accept_any(&mut self, any: &Setting<bool>) -> Option<TrustAnchors> {
        let any = any.as_ref().filter(|any| any.value)?;
        if non_blank(&self.options.ca_file).is_some() {
            let message = "TlsOptions.CaFile has no effect: any certificate is accepted";
            self.diagnostics.error(codes::TLS_CONTRADICTION, any.span, message).help("remove one of them");
        }
        let message = "any certificate of the backend is accepted: an attacker on the network can read and change \
                       all traffic";
        self.diagnostics.warning(codes::ANY_CERTIFICATE, any.span, message).help(
            "remove it, and give the backend a certificate that the system or TlsOptions.CaFile trusts",
        );
        Some(TrustAnchors::DangerousAcceptAny)
    }

    fn trust(&mut self) -> TrustAnchors {
        let Some((span, pem)) = self.file("CaFile", &self.options.ca_file) else {
            return TrustAnchors::System;
        };
        match parse_authorities(pem) {
            Ok(_) => TrustAnchors::Custom(pem.into()),
            Err(why) => {
                self.report_unusable_file(span, "CaFile", &why);
                TrustAnchors::System
            }
        }
    }

    /// The client certificate that the gateway presents.
    fn identity(&mut self) -> Option<CertifiedKeyPem> {
        let (chain, key) = (&self.options.certificate_file, &self.options.key_file);
        if let (Some(alone), None) | (None, Some(alone)) = (non_blank(chain), non_blank(key)) {
            let message = "CertificateFile and KeyFile must be set together";
            self.diagnostics.error(codes::TLS_CONTRADICTION, alone.span, message);
            return None;
        }
        let (chain, key) = (self.file("CertificateFile", chain), self.file("KeyFile", key));
        let ((chain_span, chain), (key_span, key)) = (chain?, key?);
        let pair = CertifiedKeyPem { chain: chain.into(), key: key.into() };
        match pair.read() {
            Ok(_) => return Some(pair),
            Err(KeyPairError::Chain(why)) => self.report_unusable_file(chain_span, "CertificateFile", &why),
            Err(KeyPairError::Key(why)) => self.report_unusable_file(key_span, "KeyFile", &why),
        }
        None
    }

    fn name(&mut self) -> Option<String> {
        let name = non_blank(&self.options.server_name)?;
        if !is_server_name(name) {
            let message = format!("invalid ServerName \"{}\"", name.value);
            self.diagnostics
                .error(codes::BAD_SERVER_NAME, name.span, message)
                .help("must be a host name or an IP address");
        }
        Some(name.value.clone())
    }

    /// The content of a file, if one is configured and readable.
    fn file(&mut self, setting: &str, set: &'r Setting<String>) -> Option<(Span, &'r [u8])> {
        let name = non_blank(set)?;
        match self.attached.map_or(Err("it has not been read"), |attached| attached.get(name.span)) {
            Ok(content) => Some((name.span, content)),
            Err(why) => {
                self.report_unusable_file(
                    name.span,
                    setting,
                    &format!("\"{}\" cannot be read: {why}", name.value),
                );
                None
            }
        }
    }

    fn report_unusable_file(&mut self, span: Span, setting: &str, why: &str) {
        self.diagnostics.error(codes::BAD_CERTIFICATE, span, format!("{setting}: {why}"));
    }
}
