//! The provider against a scripted Eureka server.

use super::*;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

type Requests = Arc<std::sync::Mutex<Vec<String>>>;

/// Sends one of the responses for each request, in order.
async fn server(responses: Vec<(u16, String)>) -> (Eureka, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, requests) = (listener.local_addr().unwrap().port(), Requests::default());
    let heads = requests.clone();
    tokio::spawn(async move {
        for (status, body) in responses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let n = stream.read(&mut head).await.unwrap();
            heads
                .lock()
                .unwrap()
                .push(String::from_utf8_lossy(&head[..n]).split(' ').nth(1).unwrap().to_owned());
            let response = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    });
    let server = ServerSettings { host: "127.0.0.1".into(), port, ..ServerSettings::default() };
    let interval = Some(Duration::ZERO);
    (Eureka::new(&EurekaSettings { server, interval, ..EurekaSettings::default() }), requests)
}

fn apps(hash: &str, ports: &[u16]) -> (u16, String) {
    let one = |port: &u16| {
        format!(r#"{{"instanceId":"{port}","hostName":"h","status":"UP","port":{{"$":{port}}}}}"#)
    };
    let all: Vec<_> = ports.iter().map(one).collect();
    let body = format!(
        r#"{{"applications":{{"apps__hashcode":"{hash}","application":[{{"name":"A","instance":[{}]}}]}}}}"#,
        all.join(",")
    );
    (200, body)
}

async fn ports(eureka: &Eureka) -> Result<Vec<u16>, String> {
    let service = Service { name: "a".into(), namespace: String::new(), scheme: "http".into() };
    eureka.instances(&service).await.map(|all| all.iter().map(|instance| instance.port).collect())
}

#[tokio::test]
async fn the_registry_is_fetched_once_then_deltas_until_the_hashcode_differs() {
    let responses = vec![apps("", &[1]), apps("UP_2_", &[2]), apps("UP_9_", &[3]), apps("", &[7, 8])];
    let (eureka, requests) = server(responses).await;
    assert_eq!(ports(&eureka).await, Ok(vec![1]));
    assert_eq!(ports(&eureka).await, Ok(vec![1, 2]));
    assert_eq!(ports(&eureka).await, Ok(vec![7, 8]));
    let all = ["/eureka/apps", "/eureka/apps/delta", "/eureka/apps/delta", "/eureka/apps"];
    assert_eq!(*requests.lock().unwrap(), all);
}

#[tokio::test]
async fn a_server_without_deltas_sends_the_whole_registry_each_time() {
    let (eureka, requests) =
        server(vec![apps("", &[1]), (403, String::new()), apps("", &[2]), apps("", &[3])]).await;
    for port in 1..=3 {
        assert_eq!(ports(&eureka).await, Ok(vec![port]));
    }
    assert_eq!(requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn an_error_is_returned_and_keeps_the_copy() {
    let (eureka, requests) =
        server(vec![apps("", &[1]), (500, String::new()), apps("UP_2_", &[2]), (500, String::new())]).await;
    assert_eq!(ports(&eureka).await, Ok(vec![1]));
    assert!(ports(&eureka).await.unwrap_err().contains("/eureka/apps/delta: unexpected status 500"));
    assert_eq!(ports(&eureka).await, Ok(vec![1, 2]));
    assert_eq!(requests.lock().unwrap()[2], "/eureka/apps/delta");
}

#[tokio::test]
async fn one_fetch_serves_all_services_within_the_interval() {
    let (eureka, requests) = server(vec![apps("", &[1])]).await;
    let eureka = Eureka { interval: Duration::from_secs(60), ..eureka };
    for _ in 0..3 {
        assert_eq!(ports(&eureka).await, Ok(vec![1]));
    }
    assert_eq!(requests.lock().unwrap().len(), 1);
}
