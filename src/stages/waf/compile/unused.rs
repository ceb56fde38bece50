//! Settings of a policy that have no effect, because what they describe is not inspected.

use crate::config::{Diagnostics, Span, codes};
use crate::stages::waf::options::WafPolicyDocument;

/// Reports them, as warnings: a policy may be written before its inspection is switched on.
pub(super) fn report_unused(
    document: &WafPolicyDocument,
    is_body_inspected: bool,
    is_response_inspected: bool,
    diagnostics: &mut Diagnostics,
) {
    let body = document.request_body.as_ref().filter(|_| !is_body_inspected).map(|body| &body.value);
    let response = document.response_body.as_ref().filter(|_| !is_response_inspected).map(|body| &body.value);
    let threshold = document.outbound_threshold.as_ref().filter(|_| !is_response_inspected);
    let request_settings = body.into_iter().flat_map(|body| {
        [
            ("RequestBody.InspectLimit", body.inspect_limit.as_ref().map(|set| set.span)),
            ("RequestBody.Oversize", body.oversize.as_ref().map(|set| set.span)),
            ("RequestBody.MaxFileUploadSize", body.max_file_upload_size.as_ref().map(|set| set.span)),
            ("RequestBody.MaxFileSize", body.max_file_size.as_ref().map(|set| set.span)),
            ("RequestBody.MaxFilesTotalSize", body.max_files_total_size.as_ref().map(|set| set.span)),
        ]
    });
    let response_settings = response.into_iter().flat_map(|response| {
        [
            ("ResponseBody.InspectLimit", response.inspect_limit.as_ref().map(|set| set.span)),
            ("ResponseBody.ContentTypes", response.content_types.as_ref().map(|set| set.span)),
        ]
    });
    report(request_settings, "request bodies are not inspected", "RequestBody", diagnostics);
    let response_settings =
        response_settings.chain([("OutboundThreshold", threshold.map(|threshold| threshold.span))]);
    report(response_settings, "responses are not inspected", "ResponseBody", diagnostics);
}

fn report(
    settings: impl Iterator<Item = (&'static str, Option<Span>)>,
    reason: &str,
    section: &str,
    diagnostics: &mut Diagnostics,
) {
    for (name, span) in settings.filter_map(|(name, span)| Some((name, span?))) {
        diagnostics
            .warning(codes::WAF_SETTING_UNUSED, span, format!("{name} has no effect: {reason}"))
            .help(format!("set {section}.Inspect to true, or remove {name}"));
    }
}
