//! `AccessLogOptions` → the policy of records, and the headers.

use super::{AccessLogOptions, RecordConfig, RecordedHeader};
use crate::{
    base::bytes::is_token,
    config::{
        Diagnostics, codes,
        values::{List, items, value_or_default},
    },
    pipeline::record::RecordPolicy,
    stages::feature::{CompileContext, Feature},
};

/// Headers whose values are never logged.
const SECRET_HEADERS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];

impl Feature for AccessLogOptions {
    type Config = RecordConfig;

    fn compile(&self, context: &mut CompileContext) -> Option<RecordConfig> {
        Some(record_config(self, context.diagnostics))
    }
}

/// The options, checked.
pub fn record_config(options: &AccessLogOptions, diagnostics: &mut Diagnostics) -> RecordConfig {
    let redacted = header_names("RedactedHeaders", &options.redacted_headers, diagnostics);
    let mut headers = |name, list| -> Box<[RecordedHeader]> {
        let names = header_names(name, list, diagnostics).into_iter();
        let is_secret =
            |name: &str| SECRET_HEADERS.contains(&name) || redacted.iter().any(|of| **of == *name);
        names.map(|name| RecordedHeader { is_redacted: is_secret(&name), name }).collect()
    };
    let request_headers = headers("RequestHeaders", &options.request_headers);
    let response_headers = headers("ResponseHeaders", &options.response_headers);
    RecordConfig {
        policy: RecordPolicy {
            is_logged: options.enabled.as_ref().is_none_or(|on| on.value),
            sample: sample(options, diagnostics),
            query: value_or_default(&options.query).into(),
            client_address: value_or_default(&options.client_address).into(),
            logs_user: value_or_default(&options.user),
        },
        request_headers,
        response_headers,
    }
}

fn sample(options: &AccessLogOptions, diagnostics: &mut Diagnostics) -> u32 {
    let Some(ratio) = &options.sample_ratio else { return u32::MAX };
    if !(0.0..=1.0).contains(&ratio.value) {
        diagnostics
            .error(codes::BAD_SAMPLE_RATIO, ratio.span, format!("invalid SampleRatio {}", ratio.value))
            .help("must be between 0 and 1");
    }
    (ratio.value.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32
}

/// The names in lower case.
fn header_names(setting: &str, list: &List<String>, diagnostics: &mut Diagnostics) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for name in items(list) {
        if !is_token(name.value.as_bytes()) {
            let message = format!("invalid header name \"{}\" in AccessLogOptions.{setting}", name.value);
            diagnostics
                .error(codes::BAD_HEADER_NAME, name.span, message)
                .help("expected a name such as User-Agent");
        }
        names.push(name.value.to_ascii_lowercase().into_boxed_str());
    }
    names
}
