//! `External`: the authorizer and what it gets to know.

use super::schemes::SchemeCompiler;
use crate::{
    base::bytes::is_token,
    config::{codes, ranges::RangeChecker, values::non_blank},
    stages::authentication::settings::{AuthorizerProtocol, DecisionCacheSettings, ExternalSettings},
};
use std::time::Duration;

const METHODS: &[(&str, &str)] = &[("GET", "GET"), ("HEAD", "HEAD"), ("POST", "POST")];

impl SchemeCompiler<'_, '_> {
    pub(super) fn external(&mut self) -> Option<ExternalSettings> {
        let document = self.document;
        let tls = self.client_tls();
        let method = self.choice("Method", &document.method, METHODS);
        let failures = [("Deny", false), ("Allow", true)];
        let allow_on_failure = self.choice("OnFailure", &document.on_failure, &failures)?;
        if let Some(set) = document.on_failure.as_ref().filter(|_| allow_on_failure) {
            let message = "requests pass without authorization while the authorizer does not respond";
            self.diagnostics
                .warning(codes::EXTERNAL_ALLOWS, set.span, message)
                .help("set \"OnFailure\": \"Deny\"");
        }
        let url = self.needed("Url", &document.url)?;
        let is_grpc = url.trim().get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("grpc"));
        let as_http = crate::config::Spanned::new(
            if is_grpc { format!("http{}", &url.trim()[4..]) } else { url.value.clone() },
            url.span,
        );
        self.report_http_settings(is_grpc);
        let request_headers = self.field_names("RequestHeaders", &document.request_headers);
        Some(ExternalSettings {
            url: self.service_url("Url", &as_http)?,
            protocol: if is_grpc { AuthorizerProtocol::Grpc } else { AuthorizerProtocol::Http(method?) },
            tls: tls?,
            request_headers: document.request_headers.as_ref().map(|_| request_headers),
            response_headers: self.field_names("ResponseHeaders", &document.response_headers),
            client_headers: self.field_names("ClientResponseHeaders", &document.client_response_headers),
            claims: self.header_claims(),
            timeout: self.call_timeout(),
            allow_on_failure,
            cache: self.decision_cache(),
        })
    }

    fn report_http_settings(&mut self, is_grpc: bool) {
        let document = self.document;
        let settings = [
            ("Method", document.method.as_ref().map(|set| set.span)),
            ("ClientResponseHeaders", document.client_response_headers.as_ref().map(|set| set.span)),
        ];
        for (name, span) in settings.into_iter().filter_map(|(name, span)| Some((name, span?))) {
            if is_grpc {
                let message = format!("\"{name}\" has no effect: the authorizer is called by gRPC");
                self.diagnostics.error(codes::SCHEME_SETTING, span, message).help("remove it");
            }
        }
    }

    fn header_claims(&mut self) -> Vec<(String, String)> {
        let mut claims = Vec::new();
        for (claim, header) in self.document.header_claims.iter().flat_map(|map| map.iter()) {
            let Some(header) = header else { continue };
            if !is_token(header.trim().as_bytes()) {
                let message = format!("invalid name \"{}\" in HeaderClaims", header.value);
                self.diagnostics.error(codes::BAD_HEADER_NAME, header.span, message);
            }
            claims.push((claim.value.clone(), header.trim().to_owned()));
        }
        claims
    }

    fn decision_cache(&mut self) -> Option<DecisionCacheSettings> {
        let document = self.document;
        let headers = self.field_names("CacheHeaders", &document.cache_headers);
        let ttl = self.time("CacheTtl", &document.cache_ttl, Duration::from_secs(10), [0, 3600]);
        if let (Some(set), true) = (&document.cache_ttl, headers.is_empty()) {
            self.diagnostics
                .error(codes::SCHEME_SETTING, set.span, "\"CacheTtl\" has no effect without CacheHeaders")
                .help("set the fields on which a decision depends: \"CacheHeaders\": [\"Authorization\"]");
        }
        (!headers.is_empty() && !ttl.is_zero()).then_some(DecisionCacheSettings { headers, ttl })
    }

    /// How long a request waits for another service.
    pub(super) fn call_timeout(&mut self) -> Duration {
        let (min, max) = (Duration::from_millis(10), Duration::from_secs(60));
        let set = &self.document.timeout;
        let mut range = RangeChecker::for_code(codes::LIMIT_RANGE, self.diagnostics);
        range.time("Timeout", set, Duration::from_secs(2), min, max)
    }

    /// `Audience`.
    pub(super) fn audiences(&self) -> Vec<String> {
        let list = self.document.audience.iter().flat_map(|list| &list.0);
        list.map(|audience| audience.value.clone()).collect()
    }

    /// The setting as a name of a field.
    pub(super) fn field_name(
        &mut self,
        setting: &str,
        set: &crate::config::values::Setting<String>,
    ) -> Option<String> {
        let name = non_blank(set)?;
        if is_token(name.trim().as_bytes()) {
            return Some(name.trim().to_owned());
        }
        let message = format!("invalid {setting} \"{}\"", name.value);
        self.diagnostics.error(codes::BAD_HEADER_NAME, name.span, message);
        None
    }
}
