//! `FallbackOptions` → the response when all attempts failed.
//!
//! Resilience libraries (Polly) call it a fallback; nginx has `error_page` with `proxy_intercept_errors`, Envoy
//! aggregate clusters. Entry point: [`compile`], called by `plan::compile::resilience` for each route. The result is
//! part of the blueprint; `backend::attempt` applies it. Nothing outlives a reload.

mod options;

pub use options::{FallbackOptions, GlobalFallbackOptions, StaticResponseDocument};

use super::{Effective, retry::failing_statuses};
use crate::backend::attempt::fallback::{Failure, FallbackConfig, StaticResponse};
use crate::base::bytes::is_token;
use crate::config::values::{List, items, non_blank};
use crate::config::{Code, Span, Spanned, codes, suggest};
use crate::stages::feature::CompileContext;
use crate::stages::header_transform::compile::is_framing;

/// Compiles the options; the named cluster is looked up by the caller.
pub fn compile(options: &Effective<FallbackOptions>, context: &mut CompileContext) -> Option<FallbackConfig> {
    if options.enable_fallback.as_ref().is_some_and(|on| !on.value) {
        return None;
    }
    let mut compiler = FallbackCompiler { context };
    compiler.report_missing_target(options);
    Some(FallbackConfig {
        on_failures: compiler.failure_conditions(&options.on),
        statuses: failing_statuses(&options.on_status, codes::BAD_FALLBACK, compiler.context.diagnostics),
        reply: options.reply.as_ref().map(|reply| compiler.static_response(reply)),
    })
}

struct FallbackCompiler<'c, 'd> {
    context: &'c mut CompileContext<'d>,
}

impl FallbackCompiler<'_, '_> {
    fn report(&mut self, code: Code, span: Span, message: String, help: &str) {
        self.context.diagnostics.error(code, span, message).help(help);
    }

    fn report_missing_target(&mut self, options: &Effective<FallbackOptions>) {
        if non_blank(&options.cluster).is_none() && options.reply.is_none() {
            let span = options.own_span.or(options.global_span);
            let message = "FallbackOptions with neither a Cluster nor a Reply".to_owned();
            let help = "set the response: \"Reply\": { \"Status\": 503, \"Body\": \"...\" }";
            self.report(codes::BAD_FALLBACK, span.unwrap_or(self.context.route.span), message, help);
        }
    }

    fn failure_conditions(&mut self, list: &List<String>) -> Vec<Failure> {
        if list.is_none() {
            return Failure::ALL.map(|(_, failure)| failure).to_vec();
        }
        let mut failures = Vec::new();
        for condition in items(list) {
            match Failure::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(condition.trim())) {
                Some((_, failure)) => failures.push(*failure),
                None => {
                    let message = format!("unknown failure \"{}\" in FallbackOptions.On", condition.value);
                    let names = Failure::ALL.map(|(condition, _)| condition);
                    let help = format!("expected {}", suggest::one_of(&names));
                    self.report(codes::BAD_FALLBACK, condition.span, message, &help);
                }
            }
        }
        failures
    }

    fn static_response(&mut self, reply: &Spanned<StaticResponseDocument>) -> StaticResponse {
        let status = reply.status.as_ref().map_or(503, |status| status.value);
        if let Some(status) = reply.status.as_ref().filter(|set| !(200..=599).contains(&set.value)) {
            let message = format!("invalid Status {} of a Reply", status.value);
            self.report(codes::BAD_FALLBACK, status.span, message, "must be between 200 and 599");
        }
        let mut fields = Vec::new();
        for (name, value) in reply.headers.iter().flat_map(|map| map.iter()) {
            let value = value.as_ref().map_or("", |value| value.as_str());
            let sound = is_token(name.as_bytes()) && !is_framing(name);
            if !sound || value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
                let message = format!("invalid header \"{}\" of a Reply", name.value);
                let help = "must not be a framing field, and its value must be one line";
                self.report(codes::BAD_FALLBACK, name.span, message, help);
            }
            fields.push((name.value.clone(), value.to_owned()));
        }
        let body = reply.body.as_ref().map_or(String::new(), |body| body.value.clone());
        StaticResponse { status: u16::try_from(status).unwrap_or(503), fields, body }
    }
}
