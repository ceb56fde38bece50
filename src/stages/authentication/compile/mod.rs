//! `AuthenticationOptions` → the schemes of a route, and `AuthenticationSchemes` → the schemes.
//!
//! Envoy configures these as `jwt_authn` providers, ASP.NET as authentication schemes. Entry points: `compile`,
//! called by `plan::compile` once per document, and the compiler of the options, called for each route. The results
//! are plain settings; keys, caches and refresh tasks belong to `AuthState`, which outlives a reload.

mod external;
mod files;
mod inline;
mod introspection;
mod jwt;
mod oauth;
mod schemes;
mod session;
mod setting_types;
mod webhook;

use super::{
    options::{AuthenticationOptions, ResolvedAuthentication},
    scheme_document::AuthenticationSchemeDocument,
    scheme_set::SchemeSet,
    settings::{AuthenticationConfig, SchemeConfig, SchemeKind},
};
use crate::{
    config::{
        Diagnostics, ReferencedFiles, Span, Spanned, SpannedMap, codes, suggest,
        values::{Setting, items, non_blank},
    },
    stages::feature::{CompileContext, Feature, GatewayFacts, Origin},
};
use std::sync::Arc;

impl SchemeSet {
    /// Compiles all of them. The facts are whether a listener requests client certificates, and whether there is a shared
    /// state.
    pub fn compile(
        documents: &Setting<SpannedMap<Spanned<AuthenticationSchemeDocument>>>,
        (client_certificates_requested, has_shared_state): (bool, bool),
        ocelot: bool,
        attached: &ReferencedFiles,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut schemes = SchemeSet::default();
        for (name, document) in documents.iter().flat_map(|map| map.iter()) {
            let mut compiler = schemes::SchemeCompiler {
                name,
                document,
                attached,
                ocelot,
                client_certificates_requested,
                has_shared_state,
                diagnostics,
            };
            schemes.names.push(name.value.clone());
            if let Some(kind) = compiler.kind() {
                let config = SchemeConfig { name: name.value.clone(), kind };
                schemes.valid.insert(name.value.clone(), Arc::new(config));
            }
        }
        schemes
    }

    fn report_unknown(&self, name: &Spanned<String>, diagnostics: &mut Diagnostics) {
        if self.names.contains(&name.value) {
            return;
        }
        let message = format!("unknown authentication scheme \"{}\"", name.value);
        let diagnostic = diagnostics.error(codes::UNKNOWN_AUTHENTICATION_SCHEME, name.span, message);
        if let Some(similar) = suggest::closest_match(name, self.names.iter().map(String::as_str)) {
            diagnostic.help(format!("did you mean \"{similar}\"?"));
        }
        let variable = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let variable: String = name.chars().map(variable).collect();
        let quoted = serde_json::Value::from(name.as_str());
        diagnostic.help(format!(
            "schemes are at the top level, next to Routes:\n\
             \"AuthenticationSchemes\": {{\n  {quoted}: {{\n    \"Type\": \"JwtBearer\",\n    \
             \"Issuer\": \"https://issuer.example\",\n    \"Audience\": \"api\",\n    \
             \"SigningKey\": \"${{{variable}_SIGNING_KEY}}\"\n  }}\n}}",
        ));
    }
}

/// Only sessions have tokens that can be exchanged.
fn report_audience(set: &Setting<String>, schemes: &[Arc<SchemeConfig>], context: &mut CompileContext) {
    let has_session = schemes.iter().any(|scheme| matches!(scheme.kind, SchemeKind::OpenIdConnect(_)));
    if let Some(audience) = set.as_ref().filter(|_| !has_session) {
        let message = "TokenAudience has no effect without a scheme of the type OpenIdConnect";
        context.diagnostics.error(codes::SESSION_STORE, audience.span, message).help("remove it");
    }
}

/// A request has one session.
fn report_second_session(schemes: &[Arc<SchemeConfig>], context: &mut CompileContext) {
    let sessions = schemes.iter().filter(|scheme| matches!(scheme.kind, SchemeKind::OpenIdConnect(_)));
    if sessions.count() > 1 {
        let (span, message) = (context.span(), "the route has several schemes of the type OpenIdConnect");
        context
            .diagnostics
            .error(codes::SESSION_STORE, span, message)
            .help("a browser has one session: name one of them");
    }
}

impl Feature for AuthenticationOptions {
    type Config = AuthenticationConfig;

    /// Unknown names are reported by `check`, except where Ocelot does not look either; there they never succeed.
    fn compile(&self, context: &mut CompileContext) -> Option<AuthenticationConfig> {
        let options = ResolvedAuthentication::resolve(self);
        let gateway = context.gateway;
        options.is_required().then(|| {
            let known = options.schemes.iter().filter_map(|name| gateway.schemes.valid.get(name.as_str()));
            let schemes: Vec<_> = known.cloned().collect();
            report_second_session(&schemes, context);
            let token_audience = non_blank(&self.token_audience).map(|audience| audience.value.clone());
            report_audience(&self.token_audience, &schemes, context);
            AuthenticationConfig { schemes, ocelot: gateway.ocelot, token_audience }
        })
    }

    /// Every scheme exists. With the legacy single key only that one is checked, as in Ocelot.
    fn check(&self, _: Span, _: Origin, gateway: &GatewayFacts, diagnostics: &mut Diagnostics) {
        match non_blank(&self.authentication_provider_key) {
            Some(name) => gateway.schemes.report_unknown(name, diagnostics),
            None => items(&self.authentication_provider_keys)
                .iter()
                .for_each(|name| gateway.schemes.report_unknown(name, diagnostics)),
        }
    }
}
