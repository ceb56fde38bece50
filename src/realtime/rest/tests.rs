use super::*;
use crate::{
    pipeline::{
        error::ErrorCode,
        internal::{Request, Response},
    },
    realtime::{
        context::HubService,
        message::{Origin, Payload},
        operation::{
            BackplaneUnavailable, Member, Operation, OperationFuture, Operations, Outcome, Recipients,
            Selection,
        },
        testing::{KEY, hub_config, hub_service, service_config},
        tokens::{TokenRequest, verify_client},
    },
};
use axum::body::{Body, to_bytes};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

const BASE: &str = "http://rt.example:8080/rt";
const VERSION: &str = "api-version=2024-12-01";

/// Records operations and returns a fixed outcome.
#[derive(Debug, Default)]
struct Recorder {
    operations: Mutex<Vec<(String, Operation)>>,
    outcome: Mutex<Outcome>,
    failure: Mutex<Option<BackplaneUnavailable>>,
}

impl Operations for Recorder {
    fn execute(&self, service: &str, hub: &str, operation: Operation) -> OperationFuture {
        let mut outcome = self.outcome.lock().unwrap().clone();
        if let Operation::Members { after, max_members, .. } = &operation {
            outcome.members.retain(|member| after.as_ref().is_none_or(|after| member.connection_id > *after));
            outcome.members.truncate(*max_members);
        }
        self.operations.lock().unwrap().push((format!("{service}/{hub}"), operation));
        let result = self.failure.lock().unwrap().clone().map_or(Ok(outcome), Err);
        Box::pin(async move { result })
    }
}

/// A service at `/rt` with the hubs `chat` and all others.
struct Scene {
    service: Arc<HubService>,
    recorder: Arc<Recorder>,
    data_plane: DataPlane,
}

impl Scene {
    fn new(matched: u64) -> Scene {
        let mut config = service_config(&[BASE]);
        config.hubs.insert("chat".into(), Arc::new(hub_config(Vec::new())));
        config.other_hubs = Some(Arc::new(hub_config(Vec::new())));
        let recorder = Recorder::default();
        recorder.outcome.lock().unwrap().matched = matched;
        Scene { service: hub_service(config), recorder: Arc::new(recorder), data_plane: DataPlane::default() }
    }

    /// `path` is within the service, with its query.
    async fn send(&self, request: Request, path: &str) -> Response {
        let operations: Arc<dyn Operations> = self.recorder.clone();
        let original = OriginalTarget { path: format!("/rt{path}"), origin: "http://gateway".to_owned() };
        self.data_plane.respond(&self.service, &operations, request, path, &original).await
    }

    async fn request(&self, method: &str, target: &str, content_type: &str, body: &str) -> Response {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{path}?{query}"))
            .header("authorization", format!("Bearer {}", token(path)))
            .header("content-type", content_type);
        self.send(request.body(Body::from(body.to_owned())).unwrap(), path).await
    }

    /// The status of a request to the hub `chat`, with a version.
    async fn status(&self, method: &str, operation: &str) -> u16 {
        self.call(method, operation, "text/plain", "x").await.status().as_u16()
    }

    async fn call(&self, method: &str, operation: &str, content_type: &str, body: &str) -> Response {
        let separator = if operation.contains('?') { '&' } else { '?' };
        let target = format!("/api/hubs/Chat{operation}{separator}{VERSION}");
        self.request(method, &target, content_type, body).await
    }

    fn last(&self) -> Operation {
        let operations = self.recorder.operations.lock().unwrap();
        let (hub, operation) = operations.last().expect("an operation");
        assert_eq!(hub, "rt/chat");
        operation.clone()
    }
}

fn token(path: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "aud": format!("{BASE}{path}"), "exp": now + 60 });
    let message = format!("{}.{}", encode(json!({ "alg": "HS256" })), encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn json_body(response: Response) -> Value {
    serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap()
}

fn recipients(selection: &Selection) -> String {
    match &selection.recipients {
        Recipients::All => "all".to_owned(),
        Recipients::Group(group) => format!("group {group}"),
        Recipients::User(user) => format!("user {user}"),
        Recipients::Connection(connection) => format!("connection {connection}"),
    }
}

#[tokio::test]
async fn messages_are_sent_to_all_groups_users_and_connections() {
    let scene = Scene::new(0);
    for (path, to) in [
        ("/:send", "all"),
        ("/groups/g%2F1%20x/:send", "group g/1 x"),
        ("/users/us%20er%2F1%C3%A9/:send", "user us er/1é"),
        ("/connections/c%252F/:send", "connection c%2F"),
    ] {
        let query = "?excluded=a&excluded=b%20c&filter=userId%20eq+null&messageTtlSeconds=300";
        let response = scene.call("POST", &format!("{path}{query}"), "application/json; x=y", "[1.0]").await;
        assert_eq!(response.status(), 202, "{path}");
        let Operation::Send { to: selection, publication } = scene.last() else { panic!("a send") };
        assert_eq!(recipients(&selection), to);
        assert_eq!(*selection.excluded, [Box::from("a"), Box::from("b c")]);
        assert_eq!(selection.filter.unwrap().text(), "userId eq null");
        assert_eq!(publication.payload, Payload::Json("[1.0]".into()));
        assert_eq!(matches!(publication.origin, Origin::Group { .. }), to.starts_with("group"));
        let ttl = publication.expires_at.unwrap().duration_since(SystemTime::now()).unwrap().as_secs();
        assert!((298..=300).contains(&ttl), "{ttl}");
    }
    for (content_type, payload) in
        [("text/plain", Payload::Text("x".into())), ("application/octet-stream", Payload::Binary("x".into()))]
    {
        assert_eq!(scene.call("POST", "/:send?messageTtlSeconds=0", content_type, "x").await.status(), 202);
        let Operation::Send { publication, .. } = scene.last() else { panic!("a send") };
        assert_eq!((&publication.payload, publication.expires_at), (&payload, None));
    }
}

/// Method, operation, status, status if the target does not exist.
const STATUSES: &[(&str, &str, u16, u16)] = &[
    ("POST", "/:closeConnections?excluded=a&reason=x", 204, 204),
    ("POST", "/groups/g/:closeConnections", 204, 204),
    ("POST", "/users/u/:closeConnections", 204, 204),
    ("DELETE", "/connections/c?reason=r", 204, 204),
    ("HEAD", "/connections/c", 200, 404),
    ("HEAD", "/groups/g", 200, 404),
    ("HEAD", "/users/u", 200, 404),
    ("PUT", "/groups/g/connections/c", 200, 404),
    ("DELETE", "/groups/g/connections/c", 204, 204),
    ("DELETE", "/connections/c/groups", 204, 204),
    ("PUT", "/users/u/groups/g", 200, 200),
    ("DELETE", "/users/u/groups/g", 204, 204),
    ("DELETE", "/users/u/groups", 204, 204),
    ("PUT", "/permissions/sendToGroup/connections/c?targetName=g", 200, 404),
    ("DELETE", "/permissions/joinLeaveGroup/connections/c", 204, 204),
    ("HEAD", "/permissions/sendToGroup/connections/c", 200, 404),
    ("GET", "/groups/g/connections", 200, 200),
    ("POST", "/:generateToken", 200, 200),
    ("POST", "/connections/c/:send", 202, 202),
    ("POST", "/:dance", 404, 404),
    ("POST", "/groups/g/:dance", 404, 404),
    ("GET", "/groups//connections", 400, 400),
    ("GET", "/:send", 405, 405),
    ("POST", "/connections/c", 405, 405),
    ("PATCH", "/users/u/groups/g", 405, 405),
    ("PUT", "/permissions/dance/connections/c", 400, 400),
    ("PUT", "/groups/%20/connections/c", 400, 400),
    ("POST", "/groups/%FF/:send", 400, 400),
];

#[tokio::test]
async fn statuses_are_those_that_libraries_accept() {
    let (found, missing) = (Scene::new(1), Scene::new(0));
    for (method, path, status, status_if_missing) in STATUSES {
        assert_eq!(found.status(method, path).await, *status, "{method} {path}");
        assert_eq!(missing.status(method, path).await, *status_if_missing, "{method} {path}, nothing there");
    }
}

#[tokio::test]
async fn all_connections_that_match_a_filter_are_added_to_groups_and_removed() {
    let found = Scene::new(1);
    for path in ["/:addToGroups", "/:removeFromGroups"] {
        let body = r#"{"groups":["a","b","a"],"filter":"userId in ('u1')"}"#;
        assert_eq!(found.call("POST", path, "application/json", body).await.status(), 200);
        let (Operation::Join { whom, groups } | Operation::Leave { whom, groups: Some(groups) }) =
            found.last()
        else {
            panic!("a change of groups")
        };
        assert_eq!((recipients(&whom).as_str(), groups.len()), ("all", 2));
        assert!(whom.filter.is_some());
        for invalid in
            ["", "[]", "{}", r#"{"groups":[]}"#, r#"{"groups":[" "]}"#, r#"{"groups":["a"],"filter":"x y"}"#]
        {
            assert_eq!(
                found.call("POST", path, "application/json", invalid).await.status(),
                400,
                "{invalid}"
            );
        }
    }
}

#[tokio::test]
async fn requests_beyond_the_limits_of_groups_are_rejected() {
    let scene = Scene::new(1);
    scene.recorder.outcome.lock().unwrap().refused = 1;
    assert_eq!(scene.status("PUT", "/groups/g/connections/c").await, 400);
    assert_eq!(scene.status("PUT", "/users/u/groups/g").await, 400);
}

#[tokio::test]
async fn errors_have_the_form_that_libraries_read() {
    let scene = Scene::new(0);
    let response = scene.call("POST", "/:send?filter=invalid%20filter", "text/plain", "x").await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-ms-error-code"], "BadRequest");
    assert_eq!(response.extensions().get(), Some(&ErrorCode::HubInvalidFilter));
    let body = json_body(response).await;
    let message = "Invalid syntax for 'invalid filter': Syntax error at position 14 in 'invalid filter'. (Parameter 'filter')";
    assert_eq!((&body["code"], &body["message"]), (&"BadRequest".into(), &message.into()));
    assert_eq!(body["type"], "urn:margay:problem:hub.invalid_filter");
    assert_eq!(
        (&body["title"], &body["status"], &body["detail"]),
        (&"Bad Request".into(), &400.into(), &message.into())
    );
}

#[tokio::test]
async fn invalid_parameters_and_payloads_are_rejected() {
    let scene = Scene::new(1);
    for (method, operation, content_type, body, status) in [
        ("POST", "/:send", "application/json", "{\"a\":", 400),
        ("POST", "/:send", "application/xml", "<a/>", 400),
        ("POST", "/:send", "", "x", 400),
        ("POST", "/:send?messageTtlSeconds=301", "text/plain", "x", 400),
        ("POST", "/:send?messageTtlSeconds=-1", "text/plain", "x", 400),
        ("POST", "/:send?messageTtlSeconds=x", "text/plain", "x", 400),
        ("GET", "/groups/g/connections?maxpagesize=0", "", "", 400),
        ("GET", "/groups/g/connections?maxpagesize=201", "", "", 400),
        ("GET", "/groups/g/connections?top=0", "", "", 400),
        ("GET", "/groups/g/connections?continuationToken=x", "", "", 400),
        ("POST", "/:generateToken?minutesToExpire=0", "", "", 400),
        ("POST", "/:generateToken?group=%20", "", "", 400),
        ("POST", "/:send?excluded=%FF", "text/plain", "x", 400),
    ] {
        assert_eq!(
            scene.call(method, operation, content_type, body).await.status(),
            status,
            "{operation} {body}"
        );
    }
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(scene.call("POST", "/:send", "text/plain", &large).await.status(), 413);
    assert_eq!(scene.call("POST", "/:send", "text/plain", &large[1..]).await.status(), 202);
    for version in
        ["", "api-version=", "api-version=2024-13-01", "api-version=20241201", "api-version=2024-12-01x"]
    {
        let response = scene.request("HEAD", &format!("/api/hubs/chat/users/u?{version}"), "", "").await;
        assert_eq!(response.status(), 400, "{version}");
    }
    let preview = "/api/hubs/chat/users/u?api-version=2024-12-01-preview";
    assert_eq!(scene.request("HEAD", preview, "", "").await.status(), 200);
}

#[tokio::test]
async fn a_request_needs_a_token_for_its_operation_and_an_existing_hub() {
    let scene = Scene::new(1);
    let path = "/api/hubs/chat/users/u";
    for (authorization, code) in [
        (None, ErrorCode::HubTokenMissing),
        (Some("Basic dTpw".to_owned()), ErrorCode::HubTokenMissing),
        (Some(format!("Bearer {}", token("/api/hubs/chat/users/v"))), ErrorCode::HubTokenInvalid),
        (Some(format!("Bearer {}", token("/client/hubs/chat"))), ErrorCode::HubTokenInvalid),
    ] {
        let mut request = http::Request::builder().method("HEAD").uri(format!("{path}?{VERSION}"));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let response = scene.send(request.body(Body::empty()).unwrap(), path).await;
        assert_eq!((response.status().as_u16(), response.extensions().get()), (401, Some(&code)));
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        assert_eq!(response.headers()["x-ms-error-code"], "Unauthorized");
    }
    let in_query =
        http::Request::builder().method("HEAD").uri(format!("{path}?{VERSION}&access_token={}", token(path)));
    assert_eq!(scene.send(in_query.body(Body::empty()).unwrap(), path).await.status(), 401);
    let bad_name = format!("/api/hubs/1bad/users/u?{VERSION}");
    assert_eq!(scene.request("HEAD", &bad_name, "", "").await.status(), 400);
    let mut config = service_config(&[BASE]);
    config.hubs.insert("chat".into(), Arc::new(hub_config(Vec::new())));
    let strict = Scene { service: hub_service(config), ..Scene::new(1) };
    assert_eq!(
        strict.request("HEAD", &format!("/api/hubs/other/users/u?{VERSION}"), "", "").await.status(),
        404
    );
    assert_eq!(
        strict.request("HEAD", &format!("/api/hubs/chat/users/u?{VERSION}"), "", "").await.status(),
        200
    );
    for path in ["/api", "/api/hubs", "/api/hubs/chat", "/api/other"] {
        assert_eq!(scene.request("GET", path, "", "").await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn health_needs_no_token() {
    let scene = Scene::new(0);
    for (method, status) in [("GET", 200), ("HEAD", 200), ("POST", 405)] {
        let request = http::Request::builder().method(method).uri("/api/health").body(Body::empty()).unwrap();
        assert_eq!(scene.send(request, "/api/health").await.status(), status);
    }
}

#[tokio::test]
async fn missing_nodes_are_named() {
    let scene = Scene::new(1);
    *scene.recorder.failure.lock().unwrap() = Some(BackplaneUnavailable { nodes: vec!["b".into()] });
    let response = scene.call("POST", "/:send", "text/plain", "x").await;
    assert_eq!(response.status(), 503);
    assert_eq!(json_body(response).await["message"], "These nodes did not respond: b.");
}

#[tokio::test]
async fn members_are_listed_page_by_page() {
    let scene = Scene::new(0);
    let member = |n: usize| Member {
        connection_id: format!("c{n}").into(),
        user_id: (n > 0).then(|| format!("u{n}").into()),
    };
    scene.recorder.outcome.lock().unwrap().members = (0..6).map(member).collect();
    let mut target = format!("/api/hubs/chat/groups/g%2F1/connections?{VERSION}&maxpagesize=2&top=5");
    let mut pages = Vec::new();
    loop {
        let page = json_body(scene.request("GET", &target, "", "").await).await;
        pages.push(page["value"].clone());
        let Some(next) = page["nextLink"].as_str() else { break };
        let next = next.strip_prefix(BASE).expect("an absolute link");
        assert!(next.contains("api-version=2024-12-01&maxpagesize=2&continuationToken="), "{next}");
        target = next.to_owned();
    }
    assert_eq!(
        json!(pages),
        json!([
            [{ "connectionId": "c0" }, { "connectionId": "c1", "userId": "u1" }],
            [{ "connectionId": "c2", "userId": "u2" }, { "connectionId": "c3", "userId": "u3" }],
            [{ "connectionId": "c4", "userId": "u4" }],
        ])
    );
    let all = json_body(scene.call("GET", "/groups/g/connections", "", "").await).await;
    assert_eq!((all["value"].as_array().unwrap().len(), all.get("nextLink")), (6, None));
}

#[tokio::test]
async fn a_generated_token_opens_a_connection() {
    let scene = Scene::new(0);
    let query = "?userId=u%201&role=webpubsub.sendToGroup&role=x&group=g&minutesToExpire=5";
    let body = json_body(scene.call("POST", &format!("/:generateToken{query}"), "", "").await).await;
    let request = TokenRequest {
        authorization: None,
        query_token: body["token"].as_str(),
        path: "/rt/client/hubs/chat",
        service_path: "/client/hubs/chat",
        hub: "chat",
    };
    let granted = verify_client(&scene.service.config, &request, SystemTime::now()).unwrap();
    assert_eq!(granted.user_id.as_deref(), Some("u 1"));
    assert_eq!((granted.roles.len(), granted.groups.len()), (2, 1));
}
