//! Watched services with a scripted registry.

use super::*;
use crate::{
    backend::{
        Cluster,
        balance::BalancerKind,
        cluster::{ClusterSpec, ClusterStates},
        discovery::{ProviderSettings, Registries, file::FileSettings},
        endpoint::{Instance, TlsMode},
    },
    net::{dns::Dns, resolver::Resolver},
    telemetry::Metrics,
};
use async_trait::async_trait;
use std::sync::atomic::AtomicUsize;
use tokio::sync::mpsc;

/// A registry that sends what the test scripts: a number of instances, or an error.
#[derive(Debug)]
struct Script {
    lines: tokio::sync::Mutex<mpsc::UnboundedReceiver<Result<u16, String>>>,
    watches_started: AtomicUsize,
    /// The number of queries on request, if the registry is on demand.
    queries: Option<AtomicUsize>,
}

#[async_trait]
impl Provider for Script {
    fn label(&self) -> &str {
        "script"
    }

    fn is_on_demand(&self) -> bool {
        self.queries.is_some()
    }

    async fn watch(&self, _: &Service, sink: &InstanceSink) -> String {
        self.watches_started.fetch_add(1, Relaxed);
        if let Some(queries) = &self.queries {
            sink.set_on_demand(true);
            loop {
                sink.begin_refresh();
                let n = queries.fetch_add(1, Relaxed) as u16 + 1;
                sink.publish(vec![Instance::new("127.0.0.1", n)]);
                sink.refresh_requested().await;
            }
        }
        loop {
            match self.lines.lock().await.recv().await {
                Some(Ok(n)) => sink.publish((1..=n).map(|port| Instance::new("127.0.0.1", port)).collect()),
                Some(Err(error)) => return error,
                None => return std::future::pending().await,
            }
        }
    }
}

struct Scene {
    script: Arc<Script>,
    send: mpsc::UnboundedSender<Result<u16, String>>,
    source: Option<Arc<ServiceWatch>>,
    states: Arc<ClusterStates>,
    metrics: Arc<Metrics>,
}

fn service() -> Service {
    Service { name: "orders".into(), namespace: String::new(), scheme: "http".into() }
}

impl Scene {
    fn new(on_request: bool) -> Scene {
        let (send, lines) = mpsc::unbounded_channel();
        let script = Arc::new(Script {
            lines: tokio::sync::Mutex::new(lines),
            watches_started: AtomicUsize::new(0),
            queries: on_request.then(|| AtomicUsize::new(0)),
        });
        let background = BackgroundRuntime::default();
        background.attach(tokio::runtime::Handle::current());
        let metrics = Metrics::new(1);
        let numbers = metrics.discovery("script", Some("orders"));
        let source = Some(Arc::new(ServiceWatch::new(script.clone(), service(), numbers, background, false)));
        Scene { script, send, source, states: ClusterStates::new(Resolver::default()), metrics }
    }

    fn source(&self) -> &Arc<ServiceWatch> {
        self.source.as_ref().unwrap()
    }

    fn cluster(&self) -> Arc<Cluster> {
        let spec = ClusterSpec {
            key: "k".into(),
            instances: None,
            balancer: BalancerKind::NoLoadBalancer,
            tls_mode: TlsMode::Plain,
            ..ClusterSpec::default()
        };
        let cluster = self.states.cluster(&spec);
        cluster.attach_source(self.source());
        cluster
    }

    /// Lets the task run.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn size(cluster: &Cluster) -> usize {
    cluster.members().endpoints.len()
}

#[tokio::test(start_paused = true)]
async fn one_task_updates_all_clusters_of_a_service() {
    let scene = Scene::new(false);
    let one = scene.cluster();
    assert!(!one.members().is_known && !scene.source().has_responded());
    scene.send.send(Ok(2)).unwrap();
    scene.settle().await;
    let two = scene.cluster();
    assert_eq!((size(&one), size(&two)), (2, 2), "a later cluster too");
    scene.send.send(Ok(0)).unwrap();
    scene.settle().await;
    assert_eq!((size(&one), size(&two)), (0, 0));
    assert!(
        one.no_endpoint_error().detail.contains("orders has no instances in script"),
        "{:?}",
        one.no_endpoint_error()
    );
    assert_eq!(scene.script.watches_started.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_keeps_the_last_instances_and_is_retried_with_backoff() {
    let scene = Scene::new(false);
    let cluster = scene.cluster();
    scene.send.send(Ok(3)).unwrap();
    scene.send.send(Err("it is away".into())).unwrap();
    scene.settle().await;
    assert_eq!(size(&cluster), 3);
    (0..5).for_each(|_| scene.send.send(Err("it is away".into())).unwrap());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let watches_started = scene.script.watches_started.load(Relaxed);
    assert!((4..=7).contains(&watches_started), "{watches_started} times in four seconds");
    scene.send.send(Ok(1)).unwrap();
    tokio::time::sleep(MAX_BACKOFF).await;
    assert_eq!(size(&cluster), 1, "the watch recovers");
    let text = scene.metrics.render();
    let line = "margay_discovery_instances{registry=\"script\",service=\"orders\"} 1";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("margay_discovery_errors_total{registry=\"script\"} 6"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_without_a_response_is_named_in_the_error_and_not_awaited() {
    let scene = Scene::new(false);
    let cluster = scene.cluster();
    assert!(
        cluster.no_endpoint_error().detail.contains("no response from script"),
        "{:?}",
        cluster.no_endpoint_error()
    );
    scene.send.send(Err("connection refused".into())).unwrap();
    scene.settle().await;
    let before = Instant::now();
    scene.source().wait_ready(Instant::now() + Duration::from_secs(9)).await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert!(
        cluster.no_endpoint_error().detail.contains("connection refused"),
        "{:?}",
        cluster.no_endpoint_error()
    );
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_cluster() {
    let mut scene = Scene::new(false);
    let cluster = scene.cluster();
    scene.settle().await;
    scene.source = None;
    scene.send.send(Ok(1)).unwrap();
    scene.settle().await;
    assert_eq!(size(&cluster), 1, "the cluster holds its source");
    assert_eq!(Arc::strong_count(&scene.script), 3);
    drop(cluster);
    scene.settle().await;
    assert_eq!(Arc::strong_count(&scene.script), 1, "the provider is dropped");
}

#[tokio::test(start_paused = true)]
async fn on_demand_each_request_gets_the_result_of_a_later_query() {
    let scene = Scene::new(true);
    let cluster = scene.cluster();
    scene.settle().await;
    assert!(
        scene.source().has_responded() && scene.script.watches_started.load(Relaxed) == 0,
        "no query yet"
    );
    let port = |cluster: &Cluster| cluster.members().endpoints[0].port;
    let until = Instant::now() + Duration::from_secs(1);
    scene.source().wait_ready(until).await;
    assert_eq!(port(&cluster), Some(1));
    for n in 2..5 {
        scene.source().wait_ready(until).await;
        assert_eq!(port(&cluster), Some(n));
    }
}

#[test]
fn a_watch_is_shared_by_registry_and_service_while_it_is_used() {
    let registries = Registries::new(BackgroundRuntime::default(), Dns::default(), Metrics::new(1));
    let settings =
        |path: &str| Arc::new(ProviderSettings::File(FileSettings { path: path.into(), interval: None }));
    let watch = registries.watch(&settings("1"), &service(), false);
    assert!(Arc::ptr_eq(&watch, &registries.watch(&settings("1"), &service(), false)));
    let other_service =
        registries.watch(&settings("1"), &Service { name: "stock".into(), ..service() }, false);
    assert!(Arc::ptr_eq(&watch.provider, &other_service.provider), "one provider for a registry");
    let other_registry = registries.watch(&settings("2"), &service(), false);
    assert!(!Arc::ptr_eq(&watch, &other_registry) && !Arc::ptr_eq(&watch.provider, &other_registry.provider));
}
