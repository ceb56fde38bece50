//! `SignalROptions` → the affinity of a route.

use super::{SignalRConfig, options::SignalROptions};
use crate::{
    backend::affinity::AffinityMode,
    base::bytes::is_token,
    config::{Span, codes},
    stages::feature::{CompileContext, Feature},
};

/// The values of `Affinity`.
const MODES: [&str; 3] = ["Token", "Cookie", "None"];
/// Fewest bytes of a key.
const MIN_KEY_BYTES: usize = 32;
/// The name of the cookie, unless the route has its own.
const DEFAULT_COOKIE: &str = "margay_signalr";

impl Feature for SignalROptions {
    type Config = SignalRConfig;

    fn compile(&self, context: &mut CompileContext) -> Option<SignalRConfig> {
        if let Some(key) = self.key.as_ref().filter(|key| key.reveal().len() < MIN_KEY_BYTES) {
            let message = format!("the Key has {} bytes", key.reveal().len());
            report(context, key.span, message, "must have at least 32 bytes: openssl rand -base64 33");
        }
        let cookie = self.cookie_name.as_ref().map_or(DEFAULT_COOKIE, |name| name.as_str());
        if let Some(name) = self.cookie_name.as_ref().filter(|name| !is_token(name.as_bytes())) {
            let message = format!("invalid CookieName \"{}\"", name.value);
            report(context, name.span, message, "must be the name of a cookie, such as margay_signalr");
        }
        Some(SignalRConfig {
            mode: self.mode(cookie, context),
            key: self.key.as_ref().map(|key| key.value.clone()),
            span: Some(context.span()),
        })
    }
}

impl SignalROptions {
    fn mode(&self, cookie: &str, context: &mut CompileContext) -> AffinityMode {
        let Some(affinity) = &self.affinity else { return AffinityMode::Token };
        match affinity.value.as_str() {
            "Token" => AffinityMode::Token,
            "Cookie" => AffinityMode::Cookie(cookie.into()),
            "None" => AffinityMode::None,
            unknown => {
                let message = format!("unknown Affinity \"{unknown}\"");
                context
                    .diagnostics
                    .error(codes::BAD_SIGNALR, affinity.span, message)
                    .expected(unknown, &MODES);
                AffinityMode::Token
            }
        }
    }
}

fn report(context: &mut CompileContext, span: Span, message: String, help: &str) {
    context.diagnostics.error(codes::BAD_SIGNALR, span, message).help(help.to_owned());
}
