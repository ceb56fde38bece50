//! `checks` of a raw request: what must be true of the request that was forwarded.

use super::strict::{Record, is_origin_form};
use crate::support::http1_reader::find;
use serde_json::{Value, json};

pub fn checks(wanted: &Value, record: &Record, raw: &[u8], wrong: &mut Vec<String>) {
    body(wanted, record, wrong);
    line(wanted, record, raw, wrong);
    absent(wanted, record, wrong);
    fields(wanted, record, wrong);
}

fn body(wanted: &Value, record: &Record, wrong: &mut Vec<String>) {
    let body = String::from_utf8_lossy(&record.body);
    if wanted["body"].as_str().is_some_and(|text| text != body) {
        wrong.push(format!("body {body:?}, expected {}", wanted["body"]));
    }
    if wanted["body_or_empty"].as_str().is_some_and(|text| text != body && !body.is_empty()) {
        wrong.push(format!("body {body:?}, expected {} or none", wanted["body_or_empty"]));
    }
}

fn line(wanted: &Value, record: &Record, raw: &[u8], wrong: &mut Vec<String>) {
    if wanted["method"].as_str().is_some_and(|method| method != record.method) {
        wrong.push(format!("method {}, expected {}", record.method, wanted["method"]));
    }
    if wanted["version"].is_array() && !names(&wanted["version"]).contains(&record.version) {
        wrong.push(format!("version {}", record.version));
    }
    if wanted["target_ok"] == json!(true) {
        let unchanged = find(raw, format!(" {} ", record.target).as_bytes()).is_some();
        if !unchanged && !is_origin_form(&record.target) {
            wrong.push(format!("target {:?}", record.target));
        }
    }
}

fn absent(wanted: &Value, record: &Record, wrong: &mut Vec<String>) {
    let injected = wanted["no_injected"].as_str().map(str::to_owned);
    for name in names(&wanted["absent"]).into_iter().chain(injected) {
        if !record.all(&name).is_empty() {
            wrong.push(format!("{name} was forwarded: {:?}", record.all(&name)));
        }
    }
    for name in names(&wanted["trailer_absent"]) {
        if record.trailers.iter().any(|(n, _)| n.eq_ignore_ascii_case(&name)) {
            wrong.push(format!("trailer {name} was forwarded"));
        }
    }
    if let Some((name, value)) = wanted["hdr_not"].as_str().and_then(|h| h.split_once(": "))
        && record.all(name).iter().any(|v| v == value)
    {
        wrong.push(format!("{name}: {value} was forwarded"));
    }
}

fn fields(wanted: &Value, record: &Record, wrong: &mut Vec<String>) {
    if let Some(host) = wanted["host"].as_str()
        && record.all("host") != [host]
    {
        wrong.push(format!("Host {:?}, expected {host}", record.all("host")));
    }
    if let Some(first) = wanted["via_appended"].as_str() {
        let via = record.all("via").join(", ");
        if !via.starts_with(&format!("{first}, ")) {
            wrong.push(format!("Via {via:?}"));
        }
    }
    let lengths = record.all("content-length");
    if wanted["cl_zero_or_absent"] == json!(true) && lengths.iter().any(|l| l != "0") {
        wrong.push(format!("Content-Length {lengths:?}"));
    }
    let codings = record.all("transfer-encoding").join(",").replace(' ', "");
    if wanted["te_same_or_reject"] == json!(true) && codings != "gzip,chunked" {
        wrong.push(format!("Transfer-Encoding {codings:?}"));
    }
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
