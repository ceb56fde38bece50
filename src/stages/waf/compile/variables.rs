//! Settings of a policy → the variables that the rules find set.

use crate::config::values::{List, items};
use crate::stages::waf::options::{WafPolicyDocument, WafRequestBodyDocument};

/// The media types that requests may have, in addition to those of `MORE_JSON`.
const CONTENT_TYPES: [&str; 29] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/xml",
    "application/xml",
    "application/soap+xml",
    "application/json",
    "application/atom+xml",
    "application/rss+xml",
    "application/problem+xml",
    "application/graphql",
    "application/x-ndjson",
    "application/octet-stream",
    "application/pdf",
    "application/zip",
    "application/protobuf",
    "application/x-protobuf",
    "application/grpc",
    "application/grpc+proto",
    "application/grpc-web",
    "application/grpc-web+proto",
    "text/plain",
    "text/csv",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "audio/mpeg",
    "video/mp4",
];

/// Kinds of JSON: `application/NAME`.
const MORE_JSON: [&str; 13] = [
    "problem+json",
    "merge-patch+json",
    "json-patch+json",
    "vnd.api+json",
    "ld+json",
    "hal+json",
    "scim+json",
    "fhir+json",
    "graphql-response+json",
    "cloudevents+json",
    "cloudevents-batch+json",
    "reports+json",
    "csp-report",
];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"];

const CHARSETS: [&str; 4] = ["utf-8", "iso-8859-1", "iso-8859-15", "windows-1252"];

/// Fields that change what a backend reads; `expect` is not one, because the gateway handles it.
const HEADERS: [&str; 9] = [
    "content-encoding",
    "proxy",
    "lock-token",
    "content-range",
    "if",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-middleware-subrequest",
];

/// Extensions of files that the built-in rules reject; CRS has its own list.
const EXTENSIONS: &str = ".asa/ .asax/ .ascx/ .axd/ .backup/ .bak/ .bat/ .cdx/ .cer/ .cfg/ .cmd/ .com/ .config/ .conf/ .cs/ \
    .csproj/ .csr/ .dat/ .db/ .dbf/ .dll/ .dos/ .htr/ .htw/ .ida/ .idc/ .idq/ .inc/ .ini/ .key/ .licx/ .lnk/ .log/ .mdb/ \
    .old/ .pass/ .pdb/ .pem/ .pol/ .printer/ .pwd/ .rdb/ .resources/ .resx/ .sql/ .sqlite/ .swp/ .sys/ .vb/ .vbs/ .vbproj/ \
    .vsdisco/ .webinfo/ .xsd/ .xsx/";

/// The variables of a policy; `levels` are those that count and those that run.
pub(super) fn variables(
    document: &WafPolicyDocument,
    levels: (u8, u8),
    thresholds: (i64, i64),
    is_built_in: bool,
) -> Vec<(String, String)> {
    let json = MORE_JSON.iter().map(|name| format!("application/{name}"));
    let content_types = CONTENT_TYPES.iter().map(|name| (*name).to_owned()).chain(json).collect();
    let defaults = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let mut variables = vec![
        ("crs_setup_version", "4280".to_owned()),
        ("blocking_paranoia_level", levels.0.to_string()),
        ("detection_paranoia_level", levels.1.to_string()),
        ("paranoia_level", levels.0.to_string()),
        ("executing_paranoia_level", levels.1.to_string()),
        ("inbound_anomaly_score_threshold", thresholds.0.to_string()),
        ("outbound_anomaly_score_threshold", thresholds.1.to_string()),
        (
            "allowed_methods",
            texts(&document.allowed_methods, defaults(&METHODS)).join(" ").to_ascii_uppercase(),
        ),
        ("allowed_request_content_type", between(texts(&document.allowed_content_types, content_types), "|")),
        (
            "allowed_request_content_type_charset",
            between(texts(&document.allowed_charsets, defaults(&CHARSETS)), "|"),
        ),
        ("restricted_headers_basic", between(texts(&document.restricted_headers, defaults(&HEADERS)), "/")),
        ("restricted_headers", between(texts(&document.restricted_headers, defaults(&HEADERS)), "/")),
    ];
    variables.extend(extensions(document, is_built_in).map(|list| ("restricted_extensions", list)));
    if let Some(validate) = &document.validate_utf8 {
        variables.push(("crs_validate_utf8_encoding", u8::from(validate.value).to_string()));
    }
    if let Some(body) = &document.request_body {
        limits(body, &mut variables);
    }
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The extensions of the policy; none for those of the rules.
fn extensions(document: &WafPolicyDocument, is_built_in: bool) -> Option<String> {
    let list = items(&document.restricted_extensions);
    if list.is_empty() {
        return is_built_in.then(|| EXTENSIONS.to_owned());
    }
    let extension = |text: &str| format!(".{}/", text.trim().trim_start_matches('.').to_ascii_lowercase());
    let list: Vec<String> = list.iter().map(|text| extension(text)).collect();
    Some(list.join(" "))
}

fn limits(body: &WafRequestBodyDocument, variables: &mut Vec<(&'static str, String)>) {
    let counts = [
        ("max_num_args", &body.max_arguments),
        ("arg_length", &body.max_argument_length),
        ("arg_name_length", &body.max_argument_name_length),
        ("total_arg_length", &body.max_arguments_total_length),
    ];
    variables
        .extend(counts.into_iter().filter_map(|(name, set)| Some((name, set.as_ref()?.value.to_string()))));
    let sizes = [("max_file_size", &body.max_file_size), ("combined_file_sizes", &body.max_files_total_size)];
    variables
        .extend(sizes.into_iter().filter_map(|(name, set)| Some((name, set.as_ref()?.value.0.to_string()))));
}

fn texts(list: &List<String>, defaults: Vec<String>) -> Vec<String> {
    match items(list) {
        [] => defaults,
        list => list.iter().map(|text| text.trim().to_owned()).collect(),
    }
}

/// `|a| |b|`, in lowercase.
fn between(texts: Vec<String>, mark: &str) -> String {
    let texts: Vec<String> =
        texts.iter().map(|text| format!("{mark}{}{mark}", text.to_ascii_lowercase())).collect();
    texts.join(" ")
}
