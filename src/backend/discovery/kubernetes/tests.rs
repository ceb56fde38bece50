//! An API server of a few lines, against the provider.

use super::*;
use crate::{backend::discovery::settings, base::secret::Secret};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// The heads that were asked.
type Asked = Arc<Mutex<Vec<String>>>;

/// Answers one connection after the other with these parts; one that ends in `...` stays open.
async fn server(answers: Vec<String>) -> (u16, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Asked::default());
    let heads = asked.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let n = stream.read(&mut head).await.unwrap();
            heads.lock().unwrap().push(String::from_utf8_lossy(&head[..n]).into_owned());
            stream.write_all(answer.trim_end_matches("...").as_bytes()).await.unwrap();
            if answer.ends_with("...") {
                open.push(stream);
            }
        }
        std::future::pending::<()>().await;
    });
    (port, asked)
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

fn settings(port: u16) -> ProviderSettings {
    let interval = Some(Duration::from_millis(5));
    let token = Some(Secret::new("t"));
    ProviderSettings {
        host: "127.0.0.1".into(),
        port,
        token,
        interval,
        namespace: "ns1".into(),
        ..ProviderSettings::default()
    }
}

fn service(namespace: &str) -> Service {
    Service { name: "orders".into(), namespace: namespace.into(), scheme: "http".into() }
}

fn ports(told: &InstanceSink) -> Option<Vec<u16>> {
    told.last_published().map(|all| all.iter().map(|instance| instance.port).collect())
}

/// Follows until these ports were told, or it ends.
async fn until(provider: &Kubernetes, told: &InstanceSink, wanted: &[u16]) -> Option<String> {
    let told_so = async {
        while ports(told).as_deref() != Some(wanted) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let service = service("");
    tokio::select! {
        ended = provider.watch(&service, told) => Some(ended),
        () = told_so => None,
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{:?} instead of {wanted:?}", ports(told)),
    }
}

fn targets(asked: &Asked) -> Vec<String> {
    asked.lock().unwrap().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn looks_ask_for_the_endpoints_with_the_token_and_see_changes() {
    let (port, asked) = server(vec![whole(&endpoints(80)), whole(&endpoints(81))]).await;
    let (provider, told) = (Kubernetes::polling(&settings(port)), InstanceSink::detached());
    assert_eq!(until(&provider, &told, &[80]).await, None);
    assert_eq!(until(&provider, &told, &[81]).await, None);
    assert_eq!(targets(&asked)[..1], ["/api/v1/namespaces/ns1/endpoints/orders"]);
    assert!(asked.lock().unwrap()[0].contains("\r\nAuthorization: Bearer t\r\n"));
    assert!(!provider.label().contains("Bearer") && provider.label().contains("127.0.0.1"));
}

#[tokio::test]
async fn a_service_that_is_not_there_has_no_instance_and_a_refusal_is_trouble() {
    let answer = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    let (port, _) = server(vec![answer("404 Not Found"), answer("403 Forbidden")]).await;
    let (provider, told) = (Kubernetes::polling(&settings(port)), InstanceSink::detached());
    assert_eq!(until(&provider, &told, &[]).await, None);
    let trouble = provider.watch(&service(""), &told).await;
    assert!(trouble.contains("403") && trouble.contains("may not"), "{trouble}");
}

#[tokio::test]
async fn a_watch_begins_behind_a_list_and_goes_on_where_it_ended() {
    let first = format!("HTTP/1.1 200 OK\r\n\r\n{}", event("MODIFIED", 81));
    let (port, asked) = server(vec![list(80), first, stream(&[event("MODIFIED", 82)])]).await;
    let (provider, told) = (Kubernetes::kube(&settings(port)), InstanceSink::detached());
    assert_eq!(until(&provider, &told, &[82]).await, None);
    let targets = targets(&asked);
    assert_eq!(targets[0], "/api/v1/namespaces/ns1/endpoints?fieldSelector=metadata.name%3Dorders");
    assert!(targets[1].contains("&watch=1&") && targets[1].contains("resourceVersion=5&"), "{targets:?}");
    assert!(targets[2].contains("resourceVersion=81&"), "{targets:?}");
}

#[tokio::test]
async fn a_watch_that_the_server_forgot_begins_with_a_list_again() {
    let gone = "{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n".to_owned();
    let (port, asked) = server(vec![list(80), stream(&[gone]), list(81), stream(&[])]).await;
    let (provider, told) = (Kubernetes::watching(&settings(port)), InstanceSink::detached());
    assert_eq!(until(&provider, &told, &[81]).await, None);
    assert!(!targets(&asked)[2].contains("watch"));
}

#[tokio::test]
async fn slices_are_found_by_their_label_in_the_namespace_of_the_service() {
    let body = r#"{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"a"},"ports":[{"port":80}],"endpoints":[{"addresses":["::1"]}]}]}"#;
    let (port, asked) = server(vec![whole(body), stream(&[])]).await;
    let kubernetes = settings::Kubernetes { endpoint_slices: true, ..Default::default() };
    let (provider, told) =
        (Kubernetes::kube(&ProviderSettings { kubernetes, ..settings(port) }), InstanceSink::detached());
    let service = service("other");
    let follow = tokio::time::timeout(Duration::from_millis(200), provider.watch(&service, &told));
    assert!(follow.await.is_err());
    assert_eq!(ports(&told), Some(vec![80]));
    let wanted = "/apis/discovery.k8s.io/v1/namespaces/other/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dorders";
    assert_eq!(targets(&asked)[0], wanted);
}

#[tokio::test]
async fn under_ocelot_a_watch_is_one_request_and_silence_means_nothing_there() {
    let (port, asked) = server(vec![stream(&[event("ADDED", 80)]), stream(&[])]).await;
    let settings = ProviderSettings { ocelot: true, ..settings(port) };
    let (provider, told) = (Kubernetes::watching(&settings), InstanceSink::detached());
    assert_eq!(until(&provider, &told, &[80]).await, None);
    assert_eq!(until(&provider, &told, &[]).await, None);
    assert_eq!(targets(&asked)[..1], ["/api/v1/watch/namespaces/ns1/endpoints/orders"]);
    assert!(Kubernetes::kube(&settings).is_on_demand() && !provider.is_on_demand());
}
