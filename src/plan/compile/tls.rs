//! `TlsOptions`: whom a service must convince, and what it is shown.

use crate::config::document::{Apart, Set, TlsOptions};
use crate::config::{Attached, Diagnostics, Span, codes};
use crate::plan::blueprint::Scheme;
use crate::plan::check::{Scope, filled};
use crate::plan::inherit::merged;
use crate::wire::tls::certificate::{BadPair, Pair};
use crate::wire::tls::client::{ClientTls, is_server_name};
use crate::wire::tls::trust::{Trust, authorities};

/// What a route or a cluster says about TLS.
pub struct Written<'w> {
    pub options: &'w Apart<TlsOptions>,
    /// Whether any certificate is accepted.
    pub any: &'w Set<bool>,
    /// Of a route.
    pub key: Option<&'w str>,
    pub scheme: Scheme,
}

impl Written<'_> {
    /// How the service is spoken to over TLS, where it is.
    pub fn read(&self, scope: &Scope, out: &mut Diagnostics) -> ClientTls {
        let own = self.options.as_ref().filter(|_| self.scheme == Scheme::Http);
        if let Some(own) = own {
            let message = "TlsOptions mean nothing here: DownstreamScheme is \"http\"";
            out.warning(codes::USELESS_TLS, own.span, message).help("write \"https\", or leave them out");
        }
        if self.scheme == Scheme::Http {
            return ClientTls::default();
        }
        let merged = merged(self.options, scope.groups.tls.as_ref(), self.key);
        let nothing = TlsOptions::default();
        let mut reader =
            Reader { options: merged.as_deref().unwrap_or(&nothing), attached: scope.attached, out };
        let trust = reader.trust();
        ClientTls {
            trust: reader.any(self.any).unwrap_or(trust),
            identity: reader.identity(),
            name: reader.name(),
        }
    }
}

struct Reader<'r, 'o> {
    options: &'r TlsOptions,
    attached: Option<&'r Attached>,
    out: &'o mut Diagnostics,
}

impl<'r> Reader<'r, '_> {
    /// Everybody is believed, if that is what is wanted.
    fn any(&mut self, any: &Set<bool>) -> Option<Trust> {
        let any = any.as_ref().filter(|any| any.value)?;
        if filled(&self.options.ca_file).is_some() {
            let message = "any certificate is accepted, and TlsOptions.CaFile says whose";
            self.out.error(codes::TLS_CONTRADICTION, any.span, message).help("leave one of them out");
        }
        let message = "any certificate of the service is accepted: whoever stands in between can read and change \
                       everything that is sent";
        self.out.warning(codes::ANY_CERTIFICATE, any.span, message).help(
            "leave it out, and give the service a certificate that the system or TlsOptions.CaFile trusts",
        );
        Some(Trust::Anyone)
    }

    fn trust(&mut self) -> Trust {
        let Some((span, pem)) = self.file("CaFile", &self.options.ca_file) else { return Trust::System };
        match authorities(pem) {
            Ok(_) => Trust::Only(pem.into()),
            Err(why) => {
                self.unusable(span, "CaFile", &why);
                Trust::System
            }
        }
    }

    /// What the gateway shows.
    fn identity(&mut self) -> Option<Pair> {
        let (chain, key) = (&self.options.certificate_file, &self.options.key_file);
        if let (Some(alone), None) | (None, Some(alone)) = (filled(chain), filled(key)) {
            let message = "CertificateFile and KeyFile belong together, and one of them is missing";
            self.out.error(codes::TLS_CONTRADICTION, alone.span, message);
            return None;
        }
        let (chain, key) = (self.file("CertificateFile", chain), self.file("KeyFile", key));
        let ((chain_span, chain), (key_span, key)) = (chain?, key?);
        let pair = Pair { chain: chain.into(), key: key.into() };
        match pair.read() {
            Ok(_) => return Some(pair),
            Err(BadPair::Chain(why)) => self.unusable(chain_span, "CertificateFile", &why),
            Err(BadPair::Key(why)) => self.unusable(key_span, "KeyFile", &why),
        }
        None
    }

    fn name(&mut self) -> Option<String> {
        let name = filled(&self.options.server_name)?;
        if !is_server_name(name) {
            let message = format!("ServerName \"{}\" is no name of a certificate", name.value);
            self.out
                .error(codes::BAD_SERVER_NAME, name.span, message)
                .help("write a host name or an address alone");
        }
        Some(name.value.clone())
    }

    /// What a file holds, if one is named and can be read.
    fn file(&mut self, setting: &str, set: &'r Set<String>) -> Option<(Span, &'r [u8])> {
        let name = filled(set)?;
        match self.attached.map_or(Err("it was not read"), |attached| attached.get(name.span)) {
            Ok(content) => Some((name.span, content)),
            Err(why) => {
                self.unusable(name.span, setting, &format!("\"{}\" cannot be read: {why}", name.value));
                None
            }
        }
    }

    fn unusable(&mut self, span: Span, setting: &str, why: &str) {
        self.out.error(codes::BAD_CERTIFICATE, span, format!("{setting}: {why}"));
    }
}
