//! A Consul of a few lines, against the provider.

use super::*;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const EMPTY: &str = "[]";

/// What was asked, and what is answered: index, port of the only instance.
#[derive(Clone, Default)]
struct Server {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each question with the next of these; then none any more.
    async fn start(&self, answers: Vec<String>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = self.asked.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 4096];
                let n = stream.read(&mut head).await.unwrap();
                asked.lock().unwrap().push(String::from_utf8_lossy(&head[..n]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        port
    }

    /// The targets that were asked for.
    fn targets(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
    }
}

fn answer(index: Option<u64>, body: &str) -> String {
    let index = index.map_or(String::new(), |index| format!("X-Consul-Index: {index}\r\n"));
    format!("HTTP/1.1 200 OK\r\n{index}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn one(port: u16) -> String {
    format!(r#"[{{"Service":{{"Address":"127.0.0.1","Port":{port}}}}}]"#)
}

fn service(name: &str) -> Service {
    Service { name: name.into(), namespace: String::new(), scheme: String::new() }
}

fn settings(port: u16) -> ProviderSettings {
    ProviderSettings { host: "127.0.0.1".into(), port, ..ProviderSettings::default() }
}

/// As under Ocelot compatibility.
fn ocelot(port: u16) -> ProviderSettings {
    let mut settings = ProviderSettings { ocelot: true, ..settings(port) };
    settings.consul.node_name = true;
    settings
}

/// Follows until the provider stands still or gives up.
async fn followed(consul: &Consul, told: &InstanceSink) -> Option<String> {
    let limit = Duration::from_millis(700);
    tokio::time::timeout(limit, consul.watch(&service("orders"), told)).await.ok()
}

#[tokio::test]
async fn a_server_with_an_index_is_asked_to_hold_the_question_until_it_changes() {
    let server = Server::default();
    let port =
        server.start(vec![answer(Some(7), &one(1)), answer(Some(9), &one(2)), answer(Some(3), EMPTY)]).await;
    let (consul, told) = (Consul::watch_mode(&settings(port)), InstanceSink::detached());
    assert_eq!(followed(&consul, &told).await, None);
    let plain = "/v1/health/service/orders?passing".to_owned();
    let held = |index| format!("{plain}&index={index}&wait=60s");
    // An index that went backwards is forgotten; the fourth question is not answered any more.
    assert_eq!(server.targets(), [plain.clone(), held(7), held(9)]);
    assert_eq!(told.last_published().map(|i| i.len()), Some(0));
}

#[tokio::test]
async fn a_server_without_an_index_is_asked_at_intervals() {
    let server = Server::default();
    let port = server.start(vec![answer(None, &one(1)); 20]).await;
    let interval = Some(Duration::from_millis(100));
    let consul = Consul::watch_mode(&ProviderSettings { interval, ..settings(port) });
    assert_eq!(followed(&consul, &InstanceSink::detached()).await, None);
    let asked = server.targets().len();
    assert!((3..=8).contains(&asked), "asked {asked} times in 700 ms");
}

#[tokio::test]
async fn what_the_settings_say_is_asked_for_and_the_token_goes_into_its_header() {
    let server = Server::default();
    let port = server.start(vec![answer(Some(1), EMPTY)]).await;
    let consul = crate::backend::discovery::settings::Consul {
        datacenter: "dc 1".into(),
        tags: vec!["a".into(), "b&c".into()],
        allow_stale: true,
        ..Default::default()
    };
    let token = Some(crate::base::secret::Secret::new("s3cret"));
    let consul =
        Consul::watch_mode(&ProviderSettings { consul, token, namespace: "team".into(), ..settings(port) });
    followed(&consul, &InstanceSink::detached()).await;
    let target = "/v1/health/service/orders?passing&dc=dc%201&ns=team&tag=a&tag=b%26c&stale";
    assert_eq!(server.targets()[0], target);
    assert!(server.asked.lock().unwrap()[0].contains("\r\nX-Consul-Token: s3cret\r\n"));
    assert!(!format!("{consul:?}").contains("s3cret"));
}

#[tokio::test]
async fn an_answer_that_is_no_answer_ends_the_following_with_a_reason() {
    for (bytes, says) in [
        ("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned(), "500"),
        ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_owned(), "Token"),
        (answer(None, "{}"), "no list"),
    ] {
        let port = Server::default().start(vec![bytes]).await;
        let trouble = followed(&Consul::watch_mode(&settings(port)), &InstanceSink::detached()).await;
        assert!(trouble.as_ref().is_some_and(|t| t.contains(says)), "{trouble:?}");
    }
}

#[tokio::test]
async fn under_ocelot_the_nodes_are_asked_for_with_every_look_and_looks_are_made_on_request() {
    let server = Server::default();
    let nodes = r#"[{"Node":"127.0.0.9","Address":"127.0.0.1"}]"#;
    let port = server.start(vec![answer(None, &one(80)), answer(None, nodes)]).await;
    let (consul, told) = (Consul::watch_mode(&ocelot(port)), InstanceSink::detached());
    assert!(consul.is_on_demand());
    assert_eq!(followed(&consul, &told).await, None, "it waits for a request");
    assert_eq!(server.targets()[1], "/v1/catalog/nodes");
    assert_eq!(told.last_published().unwrap()[0].host, "127.0.0.9");
}
