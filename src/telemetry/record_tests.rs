use super::*;
use std::{net::Ipv4Addr, time::UNIX_EPOCH};

static NO_HEADERS: HeaderValues = HeaderValues::new();

/// A request with a response of the backend.
pub fn record() -> Record<'static> {
    Record {
        time: UNIX_EPOCH + Duration::from_millis(1_795_271_589_007),
        id: b"01J",
        trace: None,
        listener: "public",
        client: Ipv4Addr::LOCALHOST.into(),
        client_address: ClientAddressPolicy::Log,
        method: b"GET",
        host: b"api.example",
        path: b"/orders/7",
        query: None,
        route: "orders",
        status: 200,
        error_code: "",
        leg: None,
        stage: "",
        cluster: "orders",
        endpoint: "127.0.0.1:9103",
        service: "",
        partition: "",
        replica: "",
        replica_role: "",
        firewall: None,
        backend_status: 200,
        attempts: 1,
        bytes_in: 0,
        bytes_out: 12,
        duration: Duration::from_micros(1_234),
        gateway_duration: Duration::from_micros(21),
        backend_duration: Some(Duration::from_micros(987)),
        protocol: "HTTP/1.1",
        is_tls: false,
        user: "",
        request_headers: &NO_HEADERS,
        response_headers: &NO_HEADERS,
    }
}

fn header(name: &str, value: &[u8]) -> HeaderValues {
    let mut headers = HeaderValues::new();
    headers.push(name, value);
    headers
}

fn json(record: &Record) -> serde_json::Value {
    let mut line = Vec::new();
    record.write_json(&mut line);
    assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
    serde_json::from_slice(&line).unwrap()
}

#[test]
fn a_record_is_one_line_of_json() {
    let mut line = Vec::new();
    record().write_json(&mut line);
    let expected = concat!(
        r#"{"time":"2026-11-21T14:33:09.007Z","id":"01J","listener":"public","client_ip":"127.0.0.1","method":"GET","#,
        r#""host":"api.example","path":"/orders/7","route":"orders","status":200,"cluster":"orders","#,
        r#""endpoint":"127.0.0.1:9103","backend_status":200,"attempts":1,"bytes_in":0,"bytes_out":12,"#,
        r#""duration_ms":1.234,"gateway_duration_ms":0.021,"backend_duration_ms":0.987,"protocol":"HTTP/1.1","tls":false}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}

#[test]
fn a_failure_has_its_code_its_leg_and_its_stage() {
    let failed = Record {
        status: 429,
        error_code: "rate_limit.exceeded",
        leg: Some(Leg::Client),
        stage: "rate-limit",
        ..record()
    };
    let read = json(&failed);
    assert!(failed.is_failure());
    assert_eq!(
        (&read["error_code"], &read["leg"], &read["stage"]),
        (&"rate_limit.exceeded".into(), &"client".into(), &"rate-limit".into())
    );
}

#[test]
fn request_data_cannot_break_the_line() {
    let hostile = b"/a\"\n\x00\xff\\";
    let headers = header("user-agent", hostile);
    let record =
        Record { path: hostile, host: b"\r\n{", query: Some(hostile), request_headers: &headers, ..record() };
    let read = json(&record);
    for value in [&read["path"], &read["query"], &read["request_headers"]["user-agent"]] {
        assert_eq!(value, "/a\"\n\u{0}\u{fffd}\\");
    }
    let mut line = Vec::new();
    record.write_combined(&mut line);
    let line = String::from_utf8(line).unwrap();
    assert_eq!(line.lines().count(), 1);
    assert!(line.contains(r#""GET /a\x22\x0A\x00\xFF\x5C?/a\x22\x0A\x00\xFF\x5C HTTP/1.1""#), "{line}");
}

#[test]
fn the_combined_format_is_that_of_apache_with_duration_code_and_route() {
    let headers = header("user-agent", b"curl/8");
    let mut line = Vec::new();
    Record { request_headers: &headers, ..record() }.write_combined(&mut line);
    let expected = "127.0.0.1 - - [21/Nov/2026:14:33:09 +0000] \"GET /orders/7 HTTP/1.1\" 200 12 \"-\" \"curl/8\" \
                    1234 \"-\" \"orders\"\n";
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}

#[test]
fn an_omitted_client_address_is_not_in_the_record() {
    let omitted = Record { client_address: ClientAddressPolicy::Omit, ..record() };
    assert_eq!(json(&omitted).get("client_ip"), None);
    let mut line = Vec::new();
    omitted.write_combined(&mut line);
    assert!(line.starts_with(b"- - - ["));
}

#[test]
fn a_traced_request_has_the_ids_of_its_span() {
    let trace = TraceIds {
        trace_id: super::super::trace_ids::TraceId(0xab),
        span_id: super::super::trace_ids::SpanId(7),
    };
    let read = json(&Record { trace: Some(trace), ..record() });
    assert_eq!(read["trace_id"], "000000000000000000000000000000ab");
    assert_eq!(read["span_id"], "0000000000000007");
}
