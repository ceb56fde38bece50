//! Request targets: what is refused, what is forwarded byte for byte, and the port that a client cannot choose.

use super::{document, gateway, over, to};
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2;
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::net::TcpListener;

/// A backend that responds with the target it received.
fn echo() -> Origin {
    Origin::with(|seen| StubResponse::new(200, &seen.target))
}

fn route(port: u16, from: &str, to_path: &str, more: &Value) -> Value {
    let paths = json!({ "UpstreamPathTemplate": from, "DownstreamPathTemplate": to_path });
    over(over(to(port), &paths), more)
}

const HIDDEN: [&str; 7] = [
    "/public/..%2fadmin/x",
    "/public/%2e%2e%2Fadmin/x",
    "/public/..;/admin/x",
    "/public/..;a=b/admin/x",
    "/public/..%5cadmin/x",
    "/public/..\\admin/x",
    "/public/x%5C..%5c../admin/x",
];

fn public(port: u16, more: &Value, rest: &Value) -> Gateway {
    let routes = [
        route(port, "/public/{x}", "/public/{x}", more),
        route(port, "/admin/{x}", "/private/{x}", &json!({})),
    ];
    Gateway::with(&over(json!({ "Routes": routes }), rest))
}

#[test]
fn a_dot_segment_next_to_an_escaped_separator_is_refused() {
    let origin = echo();
    let gateway = public(origin.port(), &json!({}), &json!({}));
    for target in HIDDEN {
        let refused = gateway.get(target);
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (400, Some("request.path")),
            "{target}"
        );
    }
    assert_eq!(origin.calls(), 0);
    for target in ["/public/@types%2fcors", "/public/a;v=1/..b", "/public/a%5Cb.c"] {
        assert_eq!(gateway.get(target).text(), target);
    }
}

#[test]
fn a_path_that_a_backend_may_read_as_that_of_another_route_is_refused() {
    let origin = echo();
    let start = |mode: &Value| {
        let guarded = json!({ "SecurityOptions": { "IPBlockedList": ["127.0.0.1"] } });
        let routes = [
            route(origin.port(), "/{everything}", "/{everything}", mode),
            route(origin.port(), "/admin/{everything}", "/admin/{everything}", &guarded),
        ];
        Gateway::with(&json!({ "Routes": routes }))
    };
    let gateway = start(&json!({}));
    assert_eq!(gateway.get("/admin/x").status, 403);
    for target in ["/admin%2fx", "/admin%5Cx", "/admin\\x", "/admin;a/x", "/admin;a=b/x;c", "/admin%2Fx;a"] {
        let refused = gateway.get(target);
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (400, Some("request.path")),
            "{target}"
        );
    }
    assert_eq!(origin.calls(), 0);
    for target in ["/files%2fx", "/a;v=1/b", "/admins%2fx", "/x?/admin%2fy;z"] {
        assert_eq!(gateway.get(target).text(), target);
    }
    let keep = start(&json!({ "PathWithEscapedSeparators": "Keep" }));
    assert_eq!(keep.get("/admin%2fx").text(), "/admin%2fx");
}

#[test]
fn escaped_separators_may_be_kept_or_unescaped_on_a_route() {
    let origin = echo();
    let mode = |word: &str| json!({ "PathWithEscapedSeparators": word });
    let keep = public(origin.port(), &mode("Keep"), &json!({}));
    assert_eq!(keep.get("/public/..%2fadmin/x").text(), "/public/..%2fadmin/x");
    let unescape = public(origin.port(), &mode("Unescape"), &json!({}));
    assert_eq!(
        unescape.get("/public/..%2fadmin/x").text(),
        "/private/x",
        "the route is that of the unescaped path"
    );
    assert_eq!(unescape.get("/public/a%2Fb%5cc?q=%2f").text(), "/public/a/b/c?q=%2f");
}

#[test]
fn escaped_separators_are_set_globally_and_on_a_listener() {
    let origin = echo();
    let mode = |word: &str| json!({ "PathWithEscapedSeparators": word });
    let global = json!({ "GlobalConfiguration": mode("Keep") });
    assert_eq!(public(origin.port(), &json!({}), &global).get("/public/..;/x").status, 200);
    let address = ports::free_address();
    let listener = over(json!({ "Address": address.to_string() }), &mode("Unescape"));
    let routes = [route(origin.port(), "/admin/{x}", "/private/{x}", &json!({}))];
    let text = over(json!({ "Routes": routes, "Listeners": [listener] }), &global);
    let _gateway = Gateway::start(&Setup::json(&text).own_listeners());
    let answer =
        crate::support::client::once(address, &Request::get("/public/..%2fadmin/x")).expect("a response");
    assert_eq!(answer.text(), "/private/x");
}

#[test]
fn paths_and_queries_are_forwarded_byte_for_byte() {
    let origin = echo();
    let routes = [
        route(origin.port(), "/one/{id}", "/v1/{id}", &json!({})),
        route(origin.port(), "/all/{rest}", "/{rest}", &json!({})),
    ];
    let gateway = Gateway::with(&json!({ "Routes": routes }));
    for query in [
        "",
        "?a=1&a=2&b",
        "?id=5&ID=6&rest=7",
        "?e=&=v&&",
        "?f[n]=x|y&s=a/b+c==",
        "?d=%2B02%3a00&x=%c3%bc",
        "?",
    ] {
        for (from, to) in [
            ("/one/7", "/v1/7"),
            ("/all/p/q/", "/p/q/"),
            ("/all/a%7Eb%2B+%c3%bc", "/a%7Eb%2B+%c3%bc"),
            ("/all/(a)[b]|c;d=e,f@g:h!$&'*", "/(a)[b]|c;d=e,f@g:h!$&'*"),
            ("/all/./a%2E/../b%41", "/b%41"),
            ("/%61ll/x", "/x"),
        ] {
            let target = format!("{from}{query}");
            assert_eq!(gateway.get(&target).text(), format!("{to}{query}"), "{target}");
        }
    }
}

#[test]
fn only_parameters_that_a_template_names_are_replaced() {
    let origin = echo();
    let routes = [
        route(origin.port(), "/unit/{id}", "/x?unit={id}&v=1", &json!({})),
        route(origin.port(), "/search?q={q}", "/find/{q}", &json!({})),
    ];
    let gateway = Gateway::with(&json!({ "Routes": routes }));
    for (from, to) in [
        ("/unit/7?id=5&&a=+", "/x?unit=7&v=1&id=5&&a=+"),
        ("/unit/7?unit=8&%75nit=9&V=2", "/x?unit=7&v=1&V=2"),
        ("/unit/7", "/x?unit=7&v=1"),
        ("/search?q=a%2Bb", "/find/a%2Bb"),
    ] {
        assert_eq!(gateway.get(from).text(), to, "{from}");
    }
}

#[test]
fn the_rest_of_a_query_is_forwarded_once() {
    let origin = echo();
    let routes = [
        route(origin.port(), "/a/{id}?{rest}", "/b/{id}?{rest}", &json!({})),
        route(origin.port(), "/c/{id}?x={x}&{rest}", "/d/{id}?y={x}&{rest}", &json!({})),
    ];
    let gateway = Gateway::with(&json!({ "Routes": routes }));
    for (target, expected) in [
        ("/a/1?q=2", "/b/1?q=2"),
        ("/a/1?q=1&q=2&+&flag", "/b/1?q=1&q=2&+&flag"),
        ("/a/1?rest=5", "/b/1?rest=5"),
        ("/c/1?x=5&q=2&r=3", "/d/1?y=5&q=2&r=3"),
    ] {
        assert_eq!(gateway.get(target).text(), expected, "{target}");
    }
}

#[test]
fn the_trailing_slash_of_a_template_reaches_the_backend() {
    let origin = echo();
    let routes = [
        route(origin.port(), "/a", "/b/", &json!({})),
        route(origin.port(), "/some/{id}/blah", "/some/{id}/path/", &json!({})),
    ];
    let gateway = Gateway::with(&json!({ "Routes": routes }));
    assert_eq!(gateway.get("/a?x=1").text(), "/b/?x=1");
    assert_eq!(gateway.get("/some/7/blah").text(), "/some/7/path/");
}

#[test]
fn targets_that_http2_cannot_express_are_escaped_for_an_http2_backend() {
    let routes =
        json!({ "DownstreamHttpVersion": "2.0", "DownstreamHttpVersionPolicy": "RequestVersionExact" });
    h2::run(async {
        let origin = h2::origin(|request, mut respond| async move {
            let target = request.uri().path_and_query().map_or(String::new(), ToString::to_string);
            let mut body = respond.send_response(http::Response::new(()), false).expect("sent");
            body.send_data(target.into(), true).expect("sent");
        })
        .await;
        let gateway = Gateway::with(&document(origin.port(), &routes, &json!({})));
        let target = gateway.address;
        let ask = move || {
            crate::support::client::once(target, &Request::get("/a|b^c?q=x|<y>")).expect("a response")
        };
        let answer = tokio::task::spawn_blocking(ask).await.expect("no panic");
        assert_eq!((answer.status, answer.text().as_str()), (200, "/a%7Cb%5Ec?q=x%7C%3Cy%3E"));
    });
}

#[test]
fn connect_is_refused_in_every_form() {
    let origin = echo();
    let gateway = gateway(origin.port());
    for target in ["/t", "gw.test:443", "http://gw.test/t", "*", "/"] {
        let refused = gateway.ask(&Request::new("CONNECT", target));
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (501, Some("request.method")),
            "{target}"
        );
    }
    assert_eq!(origin.calls(), 0);
}

#[test]
fn a_fragment_in_an_http2_path_is_refused() {
    let origin = echo();
    let gateway = gateway(origin.port());
    let head = |path: &[u8]| {
        let mut block = h2::block(&[(":method", "GET"), (":scheme", "http"), (":authority", "gw.test")]);
        block.extend_from_slice(path);
        block
    };
    // A literal; Huffman-coded; added to the dynamic table.
    for path in [&b"\x04\x04/a#b"[..], b"\x04\x84\x60\x7f\xf5\x1f", b"\x44\x04/a#b"] {
        let mut raw = h2::Raw::connect(gateway.address);
        raw.send(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 1, &head(path));
        let _ = raw.ended(1);
    }
    assert_eq!(origin.calls(), 0);
    let mut raw = h2::Raw::connect(gateway.address);
    raw.send(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 1, &head(b"\x04\x03/ab"));
    assert!(raw.ended(1).is_some());
    assert_eq!(origin.calls(), 1);
}

/// The result of `margay check`: its exit code and its output.
fn check(text: &Value) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("gateway.json");
    std::fs::write(&file, text.to_string()).expect("written");
    let output = std::process::Command::new(crate::support::gateway::binary())
        .args(["check", "--config"])
        .arg(&file)
        .output()
        .expect("margay runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn the_port_of_a_backend_is_never_the_clients() {
    let portless = json!({ "DownstreamHostAndPorts": [{ "Host": "127.0.0.1" }] });
    let without_scheme = over(document(1, &portless, &json!({})), &json!({}));
    let mut text = without_scheme.clone();
    text["Routes"][0].as_object_mut().expect("a route").remove("DownstreamScheme");
    let (code, output) = check(&text);
    assert!(code == Some(2) && output.contains("MG0340"), "{output}");
    assert_eq!(check(&without_scheme).0, Some(0), "http has a usual port");
    text["GlobalConfiguration"] = json!({ "Compatibility": "Ocelot" });
    let (code, output) = check(&text);
    assert!(code == Some(0) && output.contains("MG0340"), "{output}");
}

#[test]
fn under_ocelot_the_port_is_that_of_the_listener() {
    // The backend listens on the port of the gateway, on another address.
    let (backend, address) = loop {
        let address = ports::free_address();
        if let Ok(listener) = TcpListener::bind(("127.0.0.2", address.port())) {
            break (Origin::on(listener, |_| StubResponse::new(200, "backend")), address);
        }
    };
    let portless = json!({ "DownstreamHostAndPorts": [{ "Host": "127.0.0.2" }] });
    let rest = json!({
        "GlobalConfiguration": { "Compatibility": "Ocelot" },
        "Listeners": [{ "Address": address.to_string() }],
    });
    let _gateway = Gateway::start(&Setup::json(&document(1, &portless, &rest)).own_listeners());
    let other = echo();
    let request = Request::get("/").header("Host", &format!("gw.test:{}", other.port()));
    let answer = crate::support::client::once(address, &request).expect("a response");
    assert_eq!((answer.text().as_str(), other.calls(), backend.calls()), ("backend", 0, 1));
}
