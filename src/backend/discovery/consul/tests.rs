//! The provider against a scripted Consul agent.

use super::*;
use crate::{backend::discovery::settings::ServerSettings, base::secret::Secret};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const EMPTY: &str = "[]";

/// Records the requests.
#[derive(Clone, Default)]
struct Server {
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Sends one of the responses for each request, in order; then none.
    async fn start(&self, responses: Vec<String>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = self.requests.clone();
        tokio::spawn(async move {
            for response in responses {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 4096];
                let n = stream.read(&mut head).await.unwrap();
                requests.lock().unwrap().push(String::from_utf8_lossy(&head[..n]).into_owned());
                stream.write_all(response.as_bytes()).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        port
    }

    /// The request targets.
    fn targets(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
    }
}

fn response(index: Option<u64>, body: &str) -> String {
    let index = index.map_or(String::new(), |index| format!("X-Consul-Index: {index}\r\n"));
    format!("HTTP/1.1 200 OK\r\n{index}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn one(port: u16) -> String {
    format!(r#"[{{"Service":{{"Address":"127.0.0.1","Port":{port}}}}}]"#)
}

fn service(name: &str) -> Service {
    Service { name: name.into(), namespace: String::new(), scheme: String::new() }
}

fn settings(port: u16) -> ConsulSettings {
    let server = ServerSettings { host: "127.0.0.1".into(), port, ..ServerSettings::default() };
    ConsulSettings { server, ..ConsulSettings::default() }
}

/// The settings of Ocelot mode.
fn ocelot(port: u16) -> ConsulSettings {
    ConsulSettings { ocelot: true, node_name: true, ..settings(port) }
}

/// Watches until the provider waits or fails.
async fn followed(consul: &Consul, sink: &InstanceSink) -> Option<String> {
    let limit = Duration::from_millis(700);
    tokio::time::timeout(limit, consul.watch(&service("orders"), sink)).await.ok()
}

#[tokio::test]
async fn a_server_with_an_index_gets_blocking_queries() {
    let server = Server::default();
    let port = server
        .start(vec![response(Some(7), &one(1)), response(Some(9), &one(2)), response(Some(3), EMPTY)])
        .await;
    let (consul, sink) = (Consul::new(&settings(port)), InstanceSink::detached());
    assert_eq!(followed(&consul, &sink).await, None);
    let plain = "/v1/health/service/orders?passing".to_owned();
    let held = |index| format!("{plain}&index={index}&wait=60s");
    // An index that went backwards is forgotten; the fourth query gets no response.
    assert_eq!(server.targets(), [plain.clone(), held(7), held(9)]);
    assert_eq!(sink.last_published().map(|i| i.len()), Some(0));
}

#[tokio::test]
async fn a_server_without_an_index_is_polled() {
    let server = Server::default();
    let port = server.start(vec![response(None, &one(1)); 20]).await;
    let interval = Some(Duration::from_millis(100));
    let consul = Consul::new(&ConsulSettings { interval, ..settings(port) });
    assert_eq!(followed(&consul, &InstanceSink::detached()).await, None);
    let requests = server.targets().len();
    assert!((3..=8).contains(&requests), "{requests} requests in 700 ms");
}

#[tokio::test]
async fn the_settings_become_query_parameters_and_the_token_a_header() {
    let server = Server::default();
    let port = server.start(vec![response(Some(1), EMPTY)]).await;
    let mut settings = ConsulSettings {
        datacenter: "dc 1".into(),
        tags: vec!["a".into(), "b&c".into()],
        allow_stale: true,
        namespace: "team".into(),
        ..settings(port)
    };
    settings.server.token = Some(Secret::new("s3cret"));
    let consul = Consul::new(&settings);
    followed(&consul, &InstanceSink::detached()).await;
    let target = "/v1/health/service/orders?passing&dc=dc%201&ns=team&tag=a&tag=b%26c&stale";
    assert_eq!(server.targets()[0], target);
    assert!(server.requests.lock().unwrap()[0].contains("\r\nX-Consul-Token: s3cret\r\n"));
    assert!(!format!("{consul:?}").contains("s3cret"));
}

#[tokio::test]
async fn an_invalid_response_ends_the_watch_with_an_error() {
    for (bytes, expected) in [
        ("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned(), "500"),
        ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_owned(), "Token"),
        (response(None, "{}"), "expected a list"),
    ] {
        let port = Server::default().start(vec![bytes]).await;
        let error = followed(&Consul::new(&settings(port)), &InstanceSink::detached()).await;
        assert!(error.as_ref().is_some_and(|t| t.contains(expected)), "{error:?}");
    }
}

#[tokio::test]
async fn under_ocelot_queries_include_the_nodes_and_are_made_on_request() {
    let server = Server::default();
    let nodes = r#"[{"Node":"127.0.0.9","Address":"127.0.0.1"}]"#;
    let port = server.start(vec![response(None, &one(80)), response(None, nodes)]).await;
    let (consul, sink) = (Consul::new(&ocelot(port)), InstanceSink::detached());
    assert!(consul.is_on_demand());
    assert_eq!(followed(&consul, &sink).await, None, "it waits for a request");
    assert_eq!(server.targets()[1], "/v1/catalog/nodes");
    assert_eq!(sink.last_published().unwrap()[0].host, "127.0.0.9");
}
