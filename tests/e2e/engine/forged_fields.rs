//! Fields that backends trust: what clients cannot forge in the head, in trailers, in another spelling, or through a proxy.

use super::{document, ocelot, over, to};
use crate::support::client::Request;
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::origin::{Origin, Seen};
use crate::support::stub_backend::StubResponse;
use bytes::Bytes;
use serde_json::{Value, json};

fn seen_through(route: &Value, rest: &Value, request: &Request) -> Seen {
    let origin = Origin::hello();
    let gateway = Gateway::with(&document(origin.port(), route, rest));
    assert_eq!(gateway.ask(request).status, 200);
    origin.last()
}

/// Fields from which backends take address, host, scheme, URL or method of a request.
const FORGED: [&str; 22] = [
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-FORWARDED-anything",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Original-Host",
    "X-HTTP-Method-Override",
    "Proxy",
    "X_Forwarded_For",
    "X_Real-IP",
    "x_user_id",
    "X-User_Id",
    "Client_Cert",
    "Transfer_Encoding",
];

fn forged() -> Request {
    let request = Request::get("/").header("X-API_Key", "5").header("X-Mine", "6");
    FORGED.iter().fold(request, |request, name| request.header(name, "forged"))
}

fn writes_user_id() -> Value {
    json!({ "UpstreamHeaderTransform": { "X-User-Id": "ann" } })
}

#[test]
fn fields_that_backends_trust_cannot_be_forged() {
    let seen = seen_through(&writes_user_id(), &json!({}), &forged());
    let arrived: Vec<_> = seen.head.headers.iter().filter(|(_, value)| value == "forged").collect();
    assert!(arrived.is_empty(), "{arrived:?}");
    assert_eq!((seen.header("x-api_key"), seen.header("x-mine")), (Some("5"), Some("6")));
    assert_eq!(seen.head.all("x-user-id"), ["ann"]);
}

#[test]
fn removed_fields_are_counted() {
    let origin = Origin::hello();
    let gateway = Gateway::with(&document(origin.port(), &writes_user_id(), &json!({})));
    gateway.ask(&forged().header("Client-Cert", ":AA==:"));
    let page = gateway.admin("/metrics").text();
    for line in [
        "margay_removed_total{what=\"proxy_field\"} 16",
        "margay_removed_total{what=\"reserved_field\"} 1",
        "margay_removed_total{what=\"underscore_field\"} 6",
    ] {
        assert!(page.lines().any(|l| l == line), "no {line} in\n{page}");
    }
}

#[test]
fn fields_of_untrusted_clients_may_be_allowed_by_name() {
    let allow = |names: &[&str]| json!({ "ForwardedHeaders": { "AllowFromClients": names } });
    let request =
        || Request::get("/").header("X-HTTP-Method-Override", "PUT").header("X_Forwarded_For", "1.1.1.1");
    let seen = seen_through(&json!({}), &allow(&["x-http-method-override", "X_Forwarded_For"]), &request());
    assert_eq!(seen.header("x-http-method-override"), Some("PUT"));
    assert_eq!(seen.header("x_forwarded_for"), Some("1.1.1.1"));
    let seen = seen_through(&json!({}), &allow(&["*"]), &request().header("Client-Cert", ":AA==:"));
    assert!(seen.head.has("x-http-method-override") && !seen.head.has("client-cert"));
}

#[test]
fn under_ocelot_fields_of_proxies_pass_but_other_spellings_of_own_fields_do_not() {
    let seen = seen_through(&writes_user_id(), &ocelot(), &forged());
    assert_eq!(seen.header("x-original-url"), Some("forged"));
    assert!(!seen.head.has("x_user_id") && !seen.head.has("client_cert"), "{:?}", seen.head.headers);
}

#[test]
fn names_with_underscores_may_be_dropped_or_rejected() {
    let limits = |word: &str| json!({ "Limits": { "UnderscoresInHeaders": word } });
    let request = Request::get("/").header("A_b", "1").header("A-c", "2");
    let seen = seen_through(&json!({}), &limits("Drop"), &request);
    assert!(!seen.head.has("a_b") && seen.head.has("a-c"));
    let origin = Origin::hello();
    let gateway = Gateway::with(&document(origin.port(), &json!({}), &limits("Reject")));
    let refused = gateway.ask(&request);
    assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("request.field_name")));
    assert_eq!(origin.calls(), 0);
}

fn with_trailers(announced: &str) -> Request {
    Request::new("POST", "/")
        .header("Trailer", announced)
        .chunks(&["abc"])
        .trailer("X-Sum", "7")
        .trailer("X-Client-Certificate", ":forged:")
        .trailer("x_user_id", "forged")
        .trailer("X-User-Id", "forged")
        .trailer("X-Real-Ip", "6.6.6.6")
}

#[test]
fn announced_trailers_pass_but_never_names_of_the_gateway() {
    let announced = "X-Sum, X-Client-Certificate, x_user_id, X-User-Id, X-Real-Ip";
    let seen = seen_through(&writes_user_id(), &json!({}), &with_trailers(announced));
    assert_eq!(seen.trailers, [("X-Sum".to_owned(), "7".to_owned())]);
    assert_eq!(seen.body, b"abc");
}

#[test]
fn trailers_that_were_not_announced_are_dropped_unless_all_are_wanted() {
    let seen = seen_through(&json!({}), &json!({}), &with_trailers("X-Other"));
    assert_eq!(seen.trailers, []);
    let mode = |word: &str| json!({ "Limits": { "RequestTrailers": word } });
    let seen = seen_through(&writes_user_id(), &mode("All"), &with_trailers("X-Other"));
    assert_eq!(seen.trailers, [("X-Sum".to_owned(), "7".to_owned())]);
    let seen = seen_through(&json!({}), &mode("Drop"), &with_trailers("X-Sum"));
    assert_eq!(seen.trailers, []);
}

#[test]
fn trailers_of_grpc_pass_over_http2_and_others_do_not() {
    h2::run(async {
        let origin = Origin::hello();
        let gateway = Gateway::with(&document(origin.port(), &writes_user_id(), &json!({})));
        for (kind, arrive) in
            [("application/grpc", vec![("x-sum".to_owned(), "7".to_owned())]), ("text/plain", vec![])]
        {
            let mut client = h2::Client::connect(gateway.address).await;
            let request = h2::request("POST", "/", &[("content-type", kind)]);
            let (answer, mut body) = client.begin(request, false).await;
            body.send_data(Bytes::from_static(b"abc"), false).expect("sent");
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sum", http::HeaderValue::from_static("7"));
            trailers.insert("x-user-id", http::HeaderValue::from_static("forged"));
            body.send_trailers(trailers).expect("sent");
            let _ = h2::whole(answer.await.expect("a response")).await;
            assert_eq!(origin.last().trailers, arrive, "{kind}");
        }
    });
}

/// A gateway with a public and an admin host, behind a trusted proxy.
fn two_hosts(headers: Option<&[&str]>) -> (Origin, Gateway) {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.target));
    let route = |host: &str, path: &str| {
        over(
            to(origin.port()),
            &json!({ "UpstreamHost": host, "DownstreamPathTemplate": path, "PreserveHost": true }),
        )
    };
    let mut trust = json!({ "TrustedProxies": ["127.0.0.1"] });
    if let Some(headers) = headers {
        trust["Headers"] = json!(headers);
    }
    let routes = [route("public.test", "/public"), route("admin.test", "/admin")];
    let gateway = Gateway::with(&json!({ "Routes": routes, "ForwardedHeaders": trust }));
    (origin, gateway)
}

#[test]
fn the_forwarded_host_is_not_trusted_by_default_and_does_not_reach_the_backend() {
    let (origin, gateway) = two_hosts(None);
    let request = Request::get("/").header("Host", "public.test").header("X-Forwarded-Host", "admin.test");
    assert_eq!(gateway.ask(&request).text(), "/public");
    let seen = origin.last();
    assert_eq!(
        (seen.header("host"), seen.header("x-forwarded-host")),
        (Some("public.test"), Some("public.test"))
    );
}

#[test]
fn a_trusted_forwarded_host_selects_the_route() {
    let (origin, gateway) = two_hosts(Some(&["X-Forwarded-Host"]));
    let request = Request::get("/").header("Host", "public.test").header("X-Forwarded-Host", "admin.test");
    assert_eq!(gateway.ask(&request).text(), "/admin");
    assert_eq!(origin.last().header("host"), Some("admin.test"));
}

#[test]
fn forwarded_states_client_scheme_and_host_before_routing() {
    let (origin, gateway) = two_hosts(Some(&["Forwarded"]));
    let request = Request::get("/")
        .header("Host", "public.test")
        .header("X-Forwarded-For", "6.6.6.6")
        .header("Forwarded", "for=\"[2001:db8::7]:4711\";proto=https;host=admin.test");
    assert_eq!(gateway.ask(&request).text(), "/admin");
    let seen = origin.last();
    assert_eq!(seen.head.all("x-forwarded-for").join(", "), "2001:db8::7, 127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
}
