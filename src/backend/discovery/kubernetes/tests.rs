//! The provider against a scripted API server.

use super::*;
use crate::{backend::discovery::settings::ServerSettings, base::secret::Secret};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// The request heads.
type Requests = Arc<Mutex<Vec<String>>>;

/// Sends one of the responses on each connection, in order; one that ends in `...` stays open.
async fn server(responses: Vec<String>) -> (u16, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, requests) = (listener.local_addr().unwrap().port(), Requests::default());
    let heads = requests.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        for response in responses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let n = stream.read(&mut head).await.unwrap();
            heads.lock().unwrap().push(String::from_utf8_lossy(&head[..n]).into_owned());
            stream.write_all(response.trim_end_matches("...").as_bytes()).await.unwrap();
            if response.ends_with("...") {
                open.push(stream);
            }
        }
        std::future::pending::<()>().await;
    });
    (port, requests)
}

fn whole(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn stream(lines: &[String]) -> String {
    format!("HTTP/1.1 200 OK\r\n\r\n{}...", lines.concat())
}

fn endpoints(port: u16) -> String {
    format!(
        r#"{{"metadata":{{"name":"orders","resourceVersion":"{port}"}},"subsets":[{{"addresses":[{{"ip":"127.0.0.1"}}],"ports":[{{"port":{port}}}]}}]}}"#
    )
}

fn list(port: u16) -> String {
    whole(&format!(r#"{{"metadata":{{"resourceVersion":"5"}},"items":[{}]}}"#, endpoints(port)))
}

fn event(kind: &str, port: u16) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", endpoints(port))
}

fn settings(kind: KubernetesKind, port: u16) -> KubernetesSettings {
    let token = Some(Secret::new("t"));
    let server = ServerSettings { host: "127.0.0.1".into(), port, token, ..ServerSettings::default() };
    let interval = Some(Duration::from_millis(5));
    KubernetesSettings { server, kind, interval, namespace: "ns1".into(), ..KubernetesSettings::default() }
}

fn service(namespace: &str) -> Service {
    Service { name: "orders".into(), namespace: namespace.into(), scheme: "http".into() }
}

fn ports(sink: &InstanceSink) -> Option<Vec<u16>> {
    sink.last_published().map(|all| all.iter().map(|instance| instance.port).collect())
}

/// Watches until these ports are published, or the watch ends.
async fn until(provider: &Kubernetes, sink: &InstanceSink, expected: &[u16]) -> Option<String> {
    let published = async {
        while ports(sink).as_deref() != Some(expected) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let service = service("");
    tokio::select! {
        ended = provider.watch(&service, sink) => Some(ended),
        () = published => None,
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{:?} but expected {expected:?}", ports(sink)),
    }
}

fn targets(requests: &Requests) -> Vec<String> {
    requests.lock().unwrap().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn polling_requests_the_endpoints_with_the_token_and_notices_changes() {
    let (port, requests) = server(vec![whole(&endpoints(80)), whole(&endpoints(81))]).await;
    let (provider, sink) = (Kubernetes::new(&settings(KubernetesKind::Poll, port)), InstanceSink::detached());
    assert_eq!(until(&provider, &sink, &[80]).await, None);
    assert_eq!(until(&provider, &sink, &[81]).await, None);
    assert_eq!(targets(&requests)[..1], ["/api/v1/namespaces/ns1/endpoints/orders"]);
    assert!(requests.lock().unwrap()[0].contains("\r\nAuthorization: Bearer t\r\n"));
    assert!(!provider.label().contains("Bearer") && provider.label().contains("127.0.0.1"));
}

#[tokio::test]
async fn a_missing_service_has_no_instances_and_a_rejection_is_an_error() {
    let response = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    let (port, _) = server(vec![response("404 Not Found"), response("403 Forbidden")]).await;
    let (provider, sink) = (Kubernetes::new(&settings(KubernetesKind::Poll, port)), InstanceSink::detached());
    assert_eq!(until(&provider, &sink, &[]).await, None);
    let error = provider.watch(&service(""), &sink).await;
    assert!(error.contains("403") && error.contains("may not"), "{error}");
}

#[tokio::test]
async fn a_watch_follows_a_list_and_continues_where_the_last_one_ended() {
    let first = format!("HTTP/1.1 200 OK\r\n\r\n{}", event("MODIFIED", 81));
    let (port, requests) = server(vec![list(80), first, stream(&[event("MODIFIED", 82)])]).await;
    let (provider, sink) = (Kubernetes::new(&settings(KubernetesKind::Kube, port)), InstanceSink::detached());
    assert_eq!(until(&provider, &sink, &[82]).await, None);
    let targets = targets(&requests);
    assert_eq!(targets[0], "/api/v1/namespaces/ns1/endpoints?fieldSelector=metadata.name%3Dorders");
    assert!(targets[1].contains("&watch=1&") && targets[1].contains("resourceVersion=5&"), "{targets:?}");
    assert!(targets[2].contains("resourceVersion=81&"), "{targets:?}");
}

#[tokio::test]
async fn a_watch_with_an_expired_version_starts_with_a_list_again() {
    let expired = "{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n".to_owned();
    let (port, requests) = server(vec![list(80), stream(&[expired]), list(81), stream(&[])]).await;
    let (provider, sink) =
        (Kubernetes::new(&settings(KubernetesKind::Watch, port)), InstanceSink::detached());
    assert_eq!(until(&provider, &sink, &[81]).await, None);
    assert!(!targets(&requests)[2].contains("watch"));
}

#[tokio::test]
async fn slices_are_selected_by_label_in_the_namespace_of_the_service() {
    let body = r#"{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"a"},"ports":[{"port":80}],"endpoints":[{"addresses":["::1"]}]}]}"#;
    let (port, requests) = server(vec![whole(body), stream(&[])]).await;
    let settings = KubernetesSettings { endpoint_slices: true, ..settings(KubernetesKind::Kube, port) };
    let (provider, sink) = (Kubernetes::new(&settings), InstanceSink::detached());
    let service = service("other");
    let follow = tokio::time::timeout(Duration::from_millis(200), provider.watch(&service, &sink));
    assert!(follow.await.is_err());
    assert_eq!(ports(&sink), Some(vec![80]));
    let expected = "/apis/discovery.k8s.io/v1/namespaces/other/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dorders";
    assert_eq!(targets(&requests)[0], expected);
}

#[tokio::test]
async fn under_ocelot_a_watch_is_one_request_and_no_event_means_no_instance() {
    let (port, requests) = server(vec![stream(&[event("ADDED", 80)]), stream(&[])]).await;
    let settings = |kind| KubernetesSettings { ocelot: true, ..settings(kind, port) };
    let (provider, sink) = (Kubernetes::new(&settings(KubernetesKind::Watch)), InstanceSink::detached());
    assert_eq!(until(&provider, &sink, &[80]).await, None);
    assert_eq!(until(&provider, &sink, &[]).await, None);
    assert_eq!(targets(&requests)[..1], ["/api/v1/watch/namespaces/ns1/endpoints/orders"]);
    assert!(Kubernetes::new(&settings(KubernetesKind::Kube)).is_on_demand() && !provider.is_on_demand());
}
