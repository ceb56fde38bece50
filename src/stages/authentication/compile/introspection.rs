//! `Introspection`: the endpoint, the client and what is accepted.

use super::schemes::SchemeCompiler;
use crate::{
    config::values::non_blank,
    stages::authentication::settings::{IntrospectionEndpoint, IntrospectionSettings},
};
use std::time::Duration;

impl SchemeCompiler<'_, '_> {
    pub(super) fn introspection(&mut self) -> Option<IntrospectionSettings> {
        let document = self.document;
        let locations = self.credential_locations("Authorization");
        let default_skew = Duration::from_secs(if self.ocelot { 300 } else { 60 });
        let clock_skew = self.time("ClockSkew", &document.clock_skew, default_skew, [0, 3600]);
        let cache_ttl = self.time("CacheTtl", &document.cache_ttl, Duration::from_secs(60), [0, 3600]);
        let (endpoint, client, tls) = (self.introspection_endpoint(), self.oauth_client(), self.client_tls());
        let tls = tls?;
        let is_signed = document.signed_responses.as_ref().is_some_and(|signed| signed.value);
        let response_keys = if is_signed { Some(self.published_keys(&tls.trust)?) } else { None };
        self.report_unused_endpoints(is_signed);
        Some(IntrospectionSettings {
            locations,
            endpoint: endpoint?,
            tls,
            client: client?,
            timeout: self.call_timeout(),
            cache_ttl,
            issuers: self.issuers(),
            audiences: self.audiences(),
            clock_skew,
            response_keys,
            possession: self.possession(),
        })
    }

    fn introspection_endpoint(&mut self) -> Option<IntrospectionEndpoint> {
        let document = self.document;
        if let Some(set) = non_blank(&document.introspection_endpoint) {
            return self.service_url("IntrospectionEndpoint", set).map(IntrospectionEndpoint::Url);
        }
        let set = self.needed("IntrospectionEndpoint or Authority", &document.authority)?;
        self.service_url("Authority", set).map(IntrospectionEndpoint::Discovery)
    }
    /// The keys are those of signed responses; the `Authority` has the endpoint, the keys, or nothing that is needed.
    fn report_unused_endpoints(&mut self, is_signed: bool) {
        let document = self.document;
        let (endpoint, keys) = (non_blank(&document.introspection_endpoint), non_blank(&document.jwks_uri));
        if let Some(keys) = keys.filter(|_| !is_signed) {
            let cure = "remove it, or set \"SignedResponses\": true";
            self.report_no_effect("JwksUri", keys.span, "without SignedResponses", cure);
        }
        let is_needed = endpoint.is_none() || (is_signed && keys.is_none());
        if let Some(authority) = non_blank(&document.authority).filter(|_| !is_needed) {
            let cure = "remove one of them: discovery finds the endpoint of the Authority";
            self.report_no_effect("Authority", authority.span, "with an IntrospectionEndpoint", cure);
        }
    }
}
