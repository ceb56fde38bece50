//! Event handlers over real connections, well-behaved and hostile ones.

use super::{
    scripted_handler::{Backend, Reply, field, permissive, response},
    *,
};
use crate::{
    backend::{
        attempt::{AttemptConfig, Http2},
        cluster::{ClusterSpec, ClusterStates},
        endpoint::Instance,
    },
    base::{budget::Budget, clock::Clock, secret::Secret},
    net::resolver::Resolver,
    pipeline::head::Version,
    realtime::{
        config::EventHandlerConfig,
        context::{HandlerBackend, HubContext, HubService},
        message::Payload,
        testing::{event_handler, hub_config, service_config},
    },
    telemetry::Metrics,
};
use bytes::Bytes;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::net::TcpListener;

/// A hub whose handler is at this port.
struct Scene {
    events: Arc<EventHandlers>,
    source: EventSource,
    clock: Clock,
    metrics: Arc<Metrics>,
}

fn terms() -> AttemptConfig {
    AttemptConfig {
        timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(5),
        body_idle_timeout: Duration::from_secs(30),
        request_buffer_bytes: 0,
        buffering_memory: Budget::new(1 << 20),
        max_informational: 10,
        preserve_host: false,
        version: Version::Http11,
        http2: Http2::Never,
        resilience: None,
    }
}

fn scene(port: u16, configure: impl FnOnce(&mut EventHandlerConfig)) -> Scene {
    let mut handler = event_handler(&format!("http://127.0.0.1:{port}/eventhandler/{{event}}"));
    handler.timeout = Some(Duration::from_secs(20));
    configure(&mut handler);
    let mut config = service_config(&["http://rt.example:8080"]);
    config.hubs.insert("chat".into(), Arc::new(hub_config(vec![handler])));
    let spec = ClusterSpec {
        key: "handler".into(),
        label: "handler".into(),
        instances: Some(vec![Instance::new("127.0.0.1", port)]),
        ..ClusterSpec::default()
    };
    let cluster = ClusterStates::new(Resolver::default()).cluster(&spec);
    let service = Arc::new(HubService {
        config: Arc::new(config),
        backends: Box::new([HandlerBackend { cluster, terms: terms() }]),
        server_schemes: None,
    });
    let (clock, metrics) = (Clock::mock(), Metrics::new(1));
    metrics.hubs().hub("rt", "chat");
    let source = EventSource {
        hub: Arc::new(HubContext::new(&service, "chat").unwrap()),
        connection_id: "c1".into(),
        user_id: Some("ünï".into()),
        subprotocol: Some("json.webpubsub.azure.v1".into()),
        state: None,
        client: None,
    };
    let events = EventHandlers::with_clock(metrics.hubs().clone(), clock.clone());
    Scene { events, source, clock, metrics }
}

impl Scene {
    async fn connect(&self) -> Result<ConnectReply, ConnectError> {
        self.events.connect(&self.source, ConnectRequest::default()).expect("a handler").await
    }

    async fn event(&self, name: &str, text: &'static str) -> Result<EventReply, EventError> {
        self.events.user_event(&self.source, name, Payload::Text(Bytes::from_static(text.as_bytes()))).await
    }
}

async fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the condition did not become true");
}

#[tokio::test]
async fn a_handler_is_validated_once_and_receives_the_fields_of_a_cloud_event() {
    let backend =
        permissive(|_| response("200 OK", "ce-connectionState: c3RhdGU=\r\n", "{\"userId\":\"u\"}")).await;
    let scene =
        scene(backend.port, |handler| handler.headers = vec![("X-Secret".into(), Secret::new("s3cret"))]);
    let reply = scene.connect().await.unwrap();
    assert_eq!((reply.user_id.as_deref(), reply.state.as_deref()), (Some("u"), Some("c3RhdGU=")));
    assert!(scene.connect().await.is_ok());
    assert_eq!((backend.validations(), backend.posts().len()), (1, 2));
    let requests = backend.requests.lock().unwrap().clone();
    assert!(requests[0].starts_with("OPTIONS /eventhandler/validate HTTP/1.1\r\n"));
    for request in &requests[..2] {
        assert_eq!(field(request, "webhook-request-origin"), Some("rt.example:8080"));
        assert_eq!(field(request, "ce-awpsversion"), Some("1.0"));
        assert_eq!(field(request, "x-secret"), Some("s3cret"));
    }
    let post = &requests[1];
    assert!(post.starts_with("POST /eventhandler/connect HTTP/1.1\r\n"));
    assert!(
        post.ends_with(r#"{"claims":{},"query":{},"headers":{},"subprotocols":[],"clientCertificates":[]}"#)
    );
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("ce-specversion", "1.0"),
        ("ce-type", "azure.webpubsub.sys.connect"),
        ("ce-source", "/hubs/chat/client/c1"),
        ("ce-connectionid", "c1"),
        ("ce-hub", "chat"),
        ("ce-eventname", "connect"),
        ("ce-userid", "%C3%BCn%C3%AF"),
        ("ce-subprotocol", "json.webpubsub.azure.v1"),
    ] {
        assert_eq!(field(post, name), Some(value), "{name}");
    }
    let signatures = field(post, "ce-signature").unwrap();
    assert!(signatures.starts_with("sha256=") && signatures.contains(",sha256=") && signatures.len() == 143);
    assert!(field(post, "ce-time").unwrap().ends_with('Z') && field(post, "ce-connectionstate").is_none());
}

#[tokio::test]
async fn a_validation_is_repeated_after_an_hour_and_a_refusal_after_30_seconds() {
    let is_permitted = Arc::new(AtomicUsize::new(1));
    let flag = is_permitted.clone();
    let backend =
        Backend::start(move |request| match (request.starts_with("OPTIONS "), flag.load(Relaxed)) {
            (true, 0) => response("200 OK", "WebHook-Allowed-Origin: other.example\r\n", ""),
            (true, _) => response(
                "200 OK",
                "WebHook-Allowed-Origin: x\r\nWebHook-Allowed-Origin: RT.example:8080\r\n",
                "",
            ),
            (false, _) => response("204 No Content", "", ""),
        })
        .await;
    let scene = scene(backend.port, |_| {});
    for (advance, validations) in [(0, 1), (3599, 1), (2, 2)] {
        scene.clock.advance(Duration::from_secs(advance));
        assert!(scene.connect().await.is_ok());
        assert_eq!(backend.validations(), validations);
    }
    is_permitted.store(0, Relaxed);
    for (advance, validations) in [(3601, 3), (29, 3), (2, 4)] {
        scene.clock.advance(Duration::from_secs(advance));
        let posts = backend.posts().len();
        assert!(matches!(scene.connect().await, Err(ConnectError::Failed(_))));
        assert_eq!(scene.event("e", "x").await.map_err(|_| ()), Err(()));
        assert_eq!((backend.validations(), backend.posts().len()), (validations, posts), "no event is sent");
    }
}

#[tokio::test]
async fn concurrent_events_share_one_validation_and_a_handler_may_need_none() {
    let backend = permissive(|_| response("204 No Content", "", "")).await;
    let shared = scene(backend.port, |_| {});
    let (a, b, c) = tokio::join!(shared.connect(), shared.connect(), shared.event("e", "x"));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!((backend.validations(), backend.posts().len()), (1, 3));
    let trusted = scene(backend.port, |handler| handler.validate = false);
    assert!(trusted.connect().await.is_ok());
    assert_eq!(backend.validations(), 1);
}

#[tokio::test]
async fn hostile_handlers_fail_in_time_and_their_text_stays_inside() {
    type HostileReply = fn() -> Reply;
    let replies: [(&str, HostileReply); 11] = [
        ("hang", || Reply::Hang),
        ("close", || Reply::Close),
        ("endless", || Reply::Endless),
        ("redirect", || response("302 Found", "Location: /other\r\n", "secret")),
        ("error", || response("500 Internal Server Error", "", "secret")),
        ("no HTTP", || Reply::Send("secret\r\n\r\n".to_owned())),
        ("bad length", || Reply::Send("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nsecret".to_owned())),
        ("two lengths", || {
            Reply::Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nsecret".to_owned())
        }),
        ("truncated", || Reply::Send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_owned())),
        ("switch", || {
            Reply::Send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
            )
        }),
        ("head", || response("200 OK", &format!("X-Long: {}\r\n", "x".repeat(1 << 20)), "{}")),
    ];
    for (name, reply) in replies {
        let backend = permissive(move |_| reply()).await;
        let scene = scene(backend.port, |handler| handler.timeout = Some(Duration::from_millis(400)));
        let connected = tokio::time::timeout(Duration::from_secs(5), scene.connect()).await.expect(name);
        let Err(ConnectError::Failed(detail)) = connected else { panic!("{name}: {connected:?}") };
        assert!(!detail.contains("secret"), "{name}: {detail}");
        let error = tokio::time::timeout(Duration::from_secs(5), scene.event("e", "x")).await.expect(name);
        assert!(!error.expect_err(name).0.contains("secret"), "{name}");
        assert!(
            !backend.posts().iter().any(|request| request.contains("/other")),
            "redirects are not followed"
        );
    }
}

#[tokio::test]
async fn an_unreachable_handler_fails() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let scene = scene(port, |handler| handler.validate = false);
    assert!(matches!(scene.connect().await, Err(ConnectError::Failed(_))));
    assert!(scene.event("e", "x").await.is_err());
}

#[tokio::test]
async fn large_responses_are_limited_to_64_kib_for_connect_and_16_mib_for_events() {
    let backend = permissive(|request| {
        let n: usize = field(request, "ce-userid").unwrap().parse().unwrap();
        response("200 OK", "Content-Type: text/plain\r\n", &" ".repeat(n))
    })
    .await;
    let mut scene = scene(backend.port, |_| {});
    scene.source.user_id = Some(((64 << 10) + 1).to_string().into());
    let connected = scene.connect().await;
    assert!(
        matches!(&connected, Err(ConnectError::Failed(detail)) if detail.contains("65536")),
        "{connected:?}"
    );
    assert!(scene.event("e", "x").await.is_ok());
    scene.source.user_id = Some(((16 << 20) + 1).to_string().into());
    assert!(scene.event("e", "x").await.is_err());
}

#[tokio::test]
async fn a_user_event_has_its_payload_and_cannot_change_path_or_fields() {
    let backend =
        permissive(|_| response("200 OK", "Content-Type: text/plain; charset=utf-8\r\n", "ok")).await;
    let mut scene = scene(backend.port, |_| {});
    scene.source.user_id = Some("a\r\nX-Evil: 1".into());
    scene.source.state = Some("c3RhdGU=".into());
    let reply = scene.event("../x?y\r\nZ: 1", "hällo").await.unwrap();
    assert_eq!(reply, EventReply { payload: Some(Payload::Text(Bytes::from_static(b"ok"))), state: None });
    let post = backend.posts().remove(0);
    assert!(post.starts_with("POST /eventhandler/..%2Fx%3Fy%0D%0AZ%3A%201 HTTP/1.1\r\n"), "{post}");
    assert!(post.ends_with("\r\n\r\nhällo"));
    assert_eq!(field(&post, "ce-type"), Some("azure.webpubsub.user.../x?y%0D%0AZ:%201"));
    assert_eq!(field(&post, "ce-userid"), Some("a%0D%0AX-Evil:%201"));
    assert_eq!(field(&post, "ce-connectionstate"), Some("c3RhdGU="));
    assert_eq!((field(&post, "x-evil"), field(&post, "z")), (None, None));
    assert_eq!(field(&post, "content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn the_first_matching_handler_receives_an_event_and_without_one_it_fails() {
    let backend = permissive(|_| response("204 No Content", "", "")).await;
    let scene = scene(backend.port, |handler| {
        handler.user_events = Some(crate::realtime::config::UserEventPattern::Names(vec!["one".into()]));
        handler.system_events.connect = false;
    });
    assert!(scene.events.connect(&scene.source, ConnectRequest::default()).is_none());
    assert!(
        scene.events.has_handler(&scene.source.hub, "one")
            && !scene.events.has_handler(&scene.source.hub, "two")
    );
    assert!(scene.event("one", "x").await.is_ok());
    assert!(scene.event("two", "x").await.is_err());
}

#[tokio::test]
async fn a_dropped_call_closes_its_connection() {
    let backend = permissive(|_| Reply::Hang).await;
    let scene = scene(backend.port, |_| {});
    let call = scene.event("e", "x");
    assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
    assert_eq!(backend.posts().len(), 1);
    // The pooled connection of the validation may stay open.
    wait_until(|| backend.open.load(Relaxed) <= 1).await;
}

#[tokio::test]
async fn notifications_are_sent_in_order_and_again_after_server_errors() {
    let failures = Arc::new(AtomicUsize::new(2));
    let left = failures.clone();
    let backend = permissive(move |_| {
        let is_failure = left.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok();
        response(if is_failure { "503 Service Unavailable" } else { "200 OK" }, "", "")
    })
    .await;
    let scene = scene(backend.port, |_| {});
    for notification in [
        Notification::Connected,
        Notification::Joined { group: "g".into() },
        Notification::Left { group: "g".into() },
        Notification::Disconnected { reason: "bye".into() },
    ] {
        scene.events.notify(&scene.source, notification);
    }
    wait_until(|| backend.posts().len() == 6).await;
    let posts = backend.posts();
    let names: Vec<_> = posts.iter().map(|post| field(post, "ce-eventname").unwrap()).collect();
    assert_eq!(names, ["connected", "connected", "connected", "joined", "left", "disconnected"]);
    assert_eq!(field(&posts[0], "ce-id"), field(&posts[2], "ce-id"), "the id is kept over retries");
    assert_ne!(field(&posts[2], "ce-id"), field(&posts[3], "ce-id"));
    let bodies: Vec<_> = posts[2..].iter().map(|post| post.split("\r\n\r\n").nth(1).unwrap()).collect();
    assert_eq!(bodies, ["{}", r#"{"group":"g"}"#, r#"{"group":"g"}"#, r#"{"reason":"bye"}"#]);
    assert_eq!(field(&posts[3], "ce-type"), Some("azure.webpubsub.gp.joined"));
}

#[tokio::test]
async fn a_notification_that_the_handler_rejects_is_not_repeated() {
    let backend = permissive(|_| response("404 Not Found", "", "")).await;
    let scene = scene(backend.port, |_| {});
    scene.events.notify(&scene.source, Notification::Connected);
    scene.events.notify(&scene.source, Notification::Disconnected { reason: "".into() });
    wait_until(|| backend.posts().len() == 2).await;
    let names: Vec<_> =
        backend.posts().iter().map(|post| field(post, "ce-eventname").unwrap().to_owned()).collect();
    assert_eq!(names, ["connected", "disconnected"]);
    let failed = r#"margay_hub_events_total{event="connected",outcome="failed"} 1"#;
    wait_until(|| scene.metrics.render().contains(failed)).await;
}
