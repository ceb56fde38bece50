//! The gateway as a client of an authorization server: its ID, its authentication, TLS.

use super::schemes::SchemeCompiler;
use crate::{
    base::url::HttpUrl,
    config::{
        Span, Spanned, codes,
        values::{Setting, non_blank},
    },
    net::tls::{
        certificate::{CertifiedKeyPem, KeyPairError},
        client::ClientTls,
        trust::TrustAnchors,
    },
    stages::authentication::{
        oauth::client::{AssertionKey, ClientAuthentication, OauthClient},
        remote_keys::RemoteKeys,
        settings::{PossessionMode, PossessionSettings},
    },
};
use std::time::Duration;

/// The names of the methods of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AuthenticationMethod {
    Basic,
    Post,
    PrivateKeyJwt,
    Certificate,
    None,
}

const MODES: &[(&str, PossessionMode)] = &[
    ("IfBound", PossessionMode::IfBound),
    ("Required", PossessionMode::Required),
    ("Off", PossessionMode::Off),
];

impl SchemeCompiler<'_, '_> {
    /// `ClientId` and its authentication.
    pub(super) fn oauth_client(&mut self) -> Option<OauthClient> {
        let document = self.document;
        let id = self.needed("ClientId", &document.client_id).map(|id| id.value.clone());
        let methods = [
            ("Basic", AuthenticationMethod::Basic),
            ("Post", AuthenticationMethod::Post),
            ("PrivateKeyJwt", AuthenticationMethod::PrivateKeyJwt),
            ("Certificate", AuthenticationMethod::Certificate),
            ("None", AuthenticationMethod::None),
        ];
        let method = self.choice("ClientAuthentication", &document.client_authentication, &methods)?;
        self.report_unused_client_settings(method);
        let authentication = match method {
            AuthenticationMethod::None => Some(ClientAuthentication::None),
            AuthenticationMethod::Certificate => Some(ClientAuthentication::Certificate),
            AuthenticationMethod::PrivateKeyJwt => {
                self.assertion_key().map(ClientAuthentication::PrivateKeyJwt)
            }
            AuthenticationMethod::Basic | AuthenticationMethod::Post => {
                let secret = document.client_secret.as_ref().filter(|secret| !secret.reveal().is_empty());
                if secret.is_none() {
                    let message = format!("the scheme \"{}\" has no ClientSecret", self.name.value);
                    self.diagnostics.error(codes::SCHEME_INCOMPLETE, document.span, message);
                }
                let secret = secret.map(|secret| secret.value.clone());
                secret.map(|secret| match method {
                    AuthenticationMethod::Post => ClientAuthentication::Post(secret),
                    _ => ClientAuthentication::Basic(secret),
                })
            }
        };
        Some(OauthClient { id: id?, authentication: authentication? })
    }

    /// Credentials of other methods have no effect.
    fn report_unused_client_settings(&mut self, method: AuthenticationMethod) {
        use AuthenticationMethod::{Basic, Certificate, Post, PrivateKeyJwt};
        let document = self.document;
        let at = |set: &Setting<String>| set.as_ref().map(|set| set.span);
        let secret = document.client_secret.as_ref().map(|secret| secret.span);
        let settings: [(&str, Option<Span>, &[AuthenticationMethod]); 4] = [
            ("ClientSecret", secret, &[Basic, Post]),
            ("ClientKeyFile", at(&document.client_key_file), &[PrivateKeyJwt, Certificate]),
            ("ClientKeyId", at(&document.client_key_id), &[PrivateKeyJwt]),
            ("ClientCertificateFile", at(&document.client_certificate_file), &[Certificate]),
        ];
        for (setting, span, methods) in settings {
            let Some(span) = span.filter(|_| !methods.contains(&method)) else { continue };
            let names =
                methods.iter().map(|method| format!("\"{method:?}\"")).collect::<Vec<_>>().join(" or ");
            let cure = format!("remove it, or set \"ClientAuthentication\" to {names}");
            self.report_no_effect(setting, span, &format!("with ClientAuthentication {method:?}"), &cure);
        }
    }

    /// A setting without effect.
    pub(super) fn report_no_effect(&mut self, setting: &str, span: Span, why: &str, cure: &str) {
        let message = format!("\"{setting}\" has no effect {why}");
        self.diagnostics.error(codes::SCHEME_SETTING, span, message).help(cure);
    }

    fn assertion_key(&mut self) -> Option<AssertionKey> {
        let document = self.document;
        let (span, text) = self.required("ClientKeyFile", &document.client_key_file)?;
        let kid = non_blank(&document.client_key_id).map(|id| id.value.clone());
        let key = AssertionKey::parse(&String::from_utf8_lossy(text), kid).map_err(str::to_owned);
        self.accept(codes::SCHEME_FILE, span, "ClientKeyFile", key)
    }

    /// TLS with these authorities, and with the client certificate if the gateway authenticates by it.
    pub(super) fn client_tls(&mut self) -> Option<ClientTls> {
        let document = self.document;
        let trust = self.trust()?;
        let method = non_blank(&document.client_authentication);
        if !method.is_some_and(|method| method.trim().eq_ignore_ascii_case("Certificate")) {
            return Some(ClientTls { trust, ..ClientTls::default() });
        }
        let (span, chain) = self.required("ClientCertificateFile", &document.client_certificate_file)?;
        let (_, key) = self.required("ClientKeyFile", &document.client_key_file)?;
        let pair = CertifiedKeyPem { chain: chain.into(), key: key.into() };
        let read = pair.read().map(|_| ()).map_err(|error| match error {
            KeyPairError::Chain(why) | KeyPairError::Key(why) => why,
        });
        self.accept(codes::SCHEME_FILE, span, "ClientCertificateFile", read)?;
        Some(ClientTls { trust, client_certificate: Some(pair), ..ClientTls::default() })
    }

    /// A URL over which secrets are sent; plain http is reported.
    pub(super) fn service_url(&mut self, setting: &str, set: &Spanned<String>) -> Option<HttpUrl> {
        let url = HttpUrl::parse(set.trim()).map_err(str::to_owned);
        let url = self.accept(codes::BAD_URL, set.span, setting, url)?;
        if !url.tls && !url.is_loopback() {
            self.warn_plaintext(setting, set.span);
        }
        Some(url)
    }

    fn warn_plaintext(&mut self, setting: &str, span: Span) {
        let message = format!("{setting} is plain http: an attacker on the network could read and forge it");
        self.diagnostics.warning(codes::INSECURE_PROVIDER, span, message).help("use https");
    }

    /// The published keys of `JwksUri` or of the `Authority`.
    pub(super) fn published_keys(&mut self, trust: &TrustAnchors) -> Option<RemoteKeys> {
        let document = self.document;
        let (setting, set) = match non_blank(&document.jwks_uri) {
            Some(set) => ("JwksUri", set),
            None => ("Authority", self.needed("Authority or JwksUri", &document.authority)?),
        };
        Some(RemoteKeys {
            url: self.service_url(setting, set)?,
            use_discovery: setting == "Authority",
            requires_own_issuer: document.issuer.is_none(),
            trust: trust.clone(),
            refresh: Duration::from_secs(300),
            min_refresh_interval: Duration::from_secs(2),
        })
    }

    /// `DPoP` and `CertificateBound`.
    pub(super) fn possession(&mut self) -> PossessionSettings {
        let document = self.document;
        let default_mode = if self.ocelot { PossessionMode::Off } else { PossessionMode::IfBound };
        let mut mode = |setting, set| match non_blank(set) {
            Some(_) => self.choice(setting, set, MODES).unwrap_or(default_mode),
            None => default_mode,
        };
        let none = None;
        let own = document.dpop.as_ref().map(|dpop| &dpop.value);
        let dpop = mode("DPoP.Mode", own.map_or(&none, |own| &own.mode));
        let certificate = mode("CertificateBound", &document.certificate_bound);
        let absent = None;
        let lifetime = own.map_or(&absent, |own| &own.proof_lifetime);
        let default_lifetime = Duration::from_secs(60);
        let proof_lifetime = self.time("DPoP.ProofLifetime", lifetime, default_lifetime, [5, 600]);
        let secret = own.and_then(|own| own.nonce_secret.as_ref());
        let requires_nonce = own.and_then(|own| own.require_nonce.as_ref()).is_some_and(|set| set.value);
        self.report_unused_proof_settings(dpop, requires_nonce);
        if let Some(secret) = secret.filter(|secret| secret.reveal().len() < 32) {
            let message = format!("DPoP.NonceSecret has {} bytes", secret.reveal().len());
            self.diagnostics
                .error(codes::SCHEME_SECRET, secret.span, message)
                .help("must be at least 32 bytes");
        }
        PossessionSettings {
            dpop,
            proof_lifetime,
            requires_nonce,
            nonce_secret: secret.map(|secret| secret.value.clone()),
            certificate,
        }
    }
    /// Settings of proofs that no request needs.
    fn report_unused_proof_settings(&mut self, mode: PossessionMode, requires_nonce: bool) {
        let Some(own) = self.document.dpop.as_ref() else { return };
        let is_off = mode == PossessionMode::Off;
        let nonce_secret = own.nonce_secret.as_ref().map(|set| set.span);
        let settings = [
            ("DPoP.ProofLifetime", own.proof_lifetime.as_ref().map(|set| set.span)),
            ("DPoP.RequireNonce", own.require_nonce.as_ref().map(|set| set.span)),
            ("DPoP.NonceSecret", nonce_secret),
        ];
        for (setting, span) in
            settings.into_iter().filter_map(|(name, span)| Some((name, span.filter(|_| is_off)?)))
        {
            let cure = "remove it, or set \"Mode\" to \"IfBound\" or \"Required\"";
            self.report_no_effect(setting, span, "with the Mode Off", cure);
        }
        if let Some(span) = nonce_secret.filter(|_| !is_off && !requires_nonce) {
            let cure = "remove it, or set \"RequireNonce\": true";
            self.report_no_effect("DPoP.NonceSecret", span, "without RequireNonce", cure);
        }
    }
}
