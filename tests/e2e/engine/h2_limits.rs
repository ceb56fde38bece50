//! The connection limit of an HTTP/2 backend: it holds across all workers, requests without a free stream are queued,
//! and the queue is fair.

use super::{document, over};
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2::{Client, CompleteResponse, request, run};
use crate::support::origin::Origin;
use crate::support::tls::self_signed;
use http::Response;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::task::JoinSet;

/// The present number of streams and its maximum.
#[derive(Default)]
struct Count(AtomicUsize, AtomicUsize);

impl Count {
    fn enter(&self) {
        self.1.fetch_max(self.0.fetch_add(1, SeqCst) + 1, SeqCst);
    }

    fn leave(&self) {
        self.0.fetch_sub(1, SeqCst);
    }

    fn most(&self) -> usize {
        self.1.load(SeqCst)
    }
}

/// A backend with this many streams per connection and some time for each.
struct LimitedBackend {
    address: SocketAddr,
    streams: Arc<Count>,
    opened: Arc<AtomicUsize>,
}

async fn limited_backend(most: u32, time: Duration) -> LimitedBackend {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let service = LimitedBackend {
        address: listener.local_addr().expect("an address"),
        streams: Arc::default(),
        opened: Arc::default(),
    };
    let (streams, opened) = (service.streams.clone(), service.opened.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let streams = streams.clone();
            opened.fetch_add(1, SeqCst);
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                let shaken = builder.max_concurrent_streams(most).handshake::<_, bytes::Bytes>(stream).await;
                let Ok(mut connection) = shaken else { return };
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let streams = streams.clone();
                    tokio::spawn(async move {
                        streams.enter();
                        tokio::time::sleep(time).await;
                        streams.leave();
                        let _ = respond.send_response(Response::new(()), true);
                    });
                }
            });
        }
    });
    service
}

fn exact() -> Value {
    json!({ "DownstreamHttpVersion": "2.0", "DownstreamHttpVersionPolicy": "RequestVersionExact" })
}

fn limited(options: &Value) -> Value {
    over(exact(), &json!({ "HttpHandlerOptions": options }))
}

/// A cluster with one address and one connection.
fn only_one(port: u16, more: &Value) -> Value {
    let cluster = json!({ "Endpoints": [{ "Host": "127.0.0.1", "Port": port }],
        "HttpHandlerOptions": { "MaxConnectionsPerServer": 1 } });
    over(cluster, more)
}

/// A route to a cluster.
fn cluster_route(cluster: &str, path: &str, more: &Value) -> Value {
    let route = json!({ "UpstreamPathTemplate": path, "DownstreamPathTemplate": path,
        "DownstreamCluster": cluster });
    over(route, more)
}

async fn start(document: Value, threads: usize) -> Gateway {
    let setup = Setup::json(&document).threads(threads);
    tokio::task::spawn_blocking(move || Gateway::start(&setup)).await.expect("a gateway")
}

/// This many concurrent requests over this many connections, each this often; their responses.
async fn storm(address: SocketAddr, clients: usize, each: usize, often: usize) -> Vec<CompleteResponse> {
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let client = Client::connect(address).await;
        for _ in 0..each {
            let mut client = client.clone();
            tasks.spawn(async move {
                let mut answers = Vec::new();
                for _ in 0..often {
                    answers.push(client.ask(request("GET", "/", &[])).await.expect("a response"));
                }
                answers
            });
        }
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

#[test]
fn requests_share_the_only_connection_and_wait_for_a_free_stream() {
    run(async {
        let service = limited_backend(3, Duration::from_millis(5)).await;
        let route = limited(&json!({ "MaxConnectionsPerServer": 1 }));
        let gateway = start(document(service.address.port(), &route, &json!({})), 1).await;
        let answers = storm(gateway.address, 2, 20, 5).await;
        assert!(answers.len() == 200 && answers.iter().all(|answer| answer.status() == 200));
        assert_eq!((service.opened.load(SeqCst), service.streams.most()), (1, 3));
    });
}

#[test]
fn the_connection_limit_of_a_cluster_is_fair_across_workers() {
    run(async {
        let service = limited_backend(4, Duration::from_millis(3)).await;
        let routes = [cluster_route("c", "/{everything}", &exact())];
        let clusters = json!({ "c": only_one(service.address.port(), &json!({})) });
        let gateway = start(json!({ "Routes": routes, "Clusters": clusters }), 2).await;
        let answers = storm(gateway.address, 8, 4, 10).await;
        let bad: Vec<_> = answers.iter().filter(|answer| answer.status() != 200).collect();
        assert!(answers.len() == 320 && bad.is_empty(), "{bad:?}");
        // With two connections there would be twice as many.
        assert_eq!(service.streams.most(), 4);
        assert!(service.opened.load(SeqCst) < 100, "{} were opened", service.opened.load(SeqCst));
    });
}

#[test]
fn a_request_without_a_stream_or_a_place_in_the_queue_is_rejected() {
    run(async {
        let service = limited_backend(2, Duration::from_millis(600)).await;
        let options = json!({ "MaxConnectionsPerServer": 1, "ConnectionQueueLimit": 1,
            "ConnectionQueueTimeout": "200ms" });
        let gateway = start(document(service.address.port(), &limited(&options), &json!({})), 1).await;
        // The first request learns the number of allowed streams.
        let mut client = Client::connect(gateway.address).await;
        assert_eq!(client.get("/").await.expect("a response").status(), 200);
        let answers = storm(gateway.address, 1, 6, 1).await;
        let mut statuses: Vec<u16> = answers.iter().map(CompleteResponse::status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 503, 503, 503, 503]);
        let busy = answers.iter().filter(|answer| answer.text().contains("backend.connection_limit"));
        assert_eq!(busy.count(), 4);
    });
}

#[test]
fn idle_http_1_and_http_2_connections_are_closed_for_each_other() {
    run(async {
        let both = self_signed("localhost").server(&["h2", "http/1.1"], None);
        let service = Origin::secure(both);
        let any =
            json!({ "DownstreamScheme": "https", "DangerousAcceptAnyServerCertificateValidator": true });
        let version_options = |version: &str| json!({ "DownstreamHttpVersion": version });
        let routes = [
            cluster_route("c", "/old", &version_options("1.1")),
            cluster_route("c", "/new", &version_options("2.0")),
        ];
        let clusters = json!({ "c": only_one(service.port(), &any) });
        let gateway = start(json!({ "Routes": routes, "Clusters": clusters }), 1).await;
        let mut client = Client::connect(gateway.address).await;
        for _ in 0..3 {
            assert_eq!(client.get("/old").await.expect("a response").status(), 200);
            assert_eq!(client.get("/new").await.expect("a response").status(), 200);
        }
        let versions: Vec<_> = service.seen().into_iter().map(|seen| seen.head.start).collect();
        let ends = |n: usize, version: &str| versions[n].ends_with(version);
        assert!(versions.len() == 6 && ends(0, "HTTP/1.1") && ends(1, "HTTP/2.0"), "{versions:?}");
        assert!(service.open() <= 1);
    });
}
