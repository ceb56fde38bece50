//! Sources with a registry of the test's own.

use super::*;
use crate::{
    backend::{
        balance::BalancerKind,
        cluster::{ClusterSpec, ClusterStates},
        discovery::{ProviderSettings, Registries, providers::ProviderKind},
        endpoint::{Instance, TlsMode},
    },
    net::{dns::Dns, resolver::Resolver},
    telemetry::Metrics,
};
use async_trait::async_trait;
use std::sync::{Mutex, atomic::AtomicUsize};
use tokio::sync::mpsc;

/// A registry that says what it is given: a number of instances, or trouble.
#[derive(Debug)]
struct Script {
    lines: tokio::sync::Mutex<mpsc::UnboundedReceiver<Result<u16, String>>>,
    begun: AtomicUsize,
    /// Looks on request, where that is wanted.
    asked: Option<AtomicUsize>,
}

#[async_trait]
impl Provider for Script {
    fn label(&self) -> &str {
        "script"
    }

    fn is_on_demand(&self) -> bool {
        self.asked.is_some()
    }

    async fn watch(&self, _: &Service, told: &InstanceSink) -> String {
        self.begun.fetch_add(1, Relaxed);
        if let Some(asked) = &self.asked {
            told.set_on_demand(true);
            loop {
                told.begin_refresh();
                let n = asked.fetch_add(1, Relaxed) as u16 + 1;
                told.publish(vec![Instance::new("127.0.0.1", n)]);
                told.refresh_requested().await;
            }
        }
        loop {
            match self.lines.lock().await.recv().await {
                Some(Ok(n)) => told.publish((1..=n).map(|port| Instance::new("127.0.0.1", port)).collect()),
                Some(Err(trouble)) => return trouble,
                None => return std::future::pending().await,
            }
        }
    }
}

struct Scene {
    script: Arc<Script>,
    say: mpsc::UnboundedSender<Result<u16, String>>,
    source: Option<Arc<ServiceWatch>>,
    states: Arc<ClusterStates>,
    metrics: Arc<Metrics>,
}

fn service() -> Service {
    Service { name: "orders".into(), namespace: String::new(), scheme: "http".into() }
}

impl Scene {
    fn new(on_request: bool) -> Scene {
        let (say, lines) = mpsc::unbounded_channel();
        let script = Arc::new(Script {
            lines: tokio::sync::Mutex::new(lines),
            begun: AtomicUsize::new(0),
            asked: on_request.then(|| AtomicUsize::new(0)),
        });
        let background = BackgroundRuntime::default();
        background.attach(tokio::runtime::Handle::current());
        let metrics = Metrics::new(1);
        let numbers = metrics.discovery("script", Some("orders"));
        let source = Some(Arc::new(ServiceWatch::new(script.clone(), service(), numbers, background, false)));
        Scene { script, say, source, states: ClusterStates::new(Resolver::default()), metrics }
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
        self.source().feed(&cluster);
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
async fn every_cluster_of_a_service_is_fed_by_one_task() {
    let scene = Scene::new(false);
    let one = scene.cluster();
    assert!(!one.members().known_count && !scene.source().has_answered());
    scene.say.send(Ok(2)).unwrap();
    scene.settle().await;
    let two = scene.cluster();
    assert_eq!((size(&one), size(&two)), (2, 2), "one that comes later too");
    scene.say.send(Ok(0)).unwrap();
    scene.settle().await;
    assert_eq!((size(&one), size(&two)), (0, 0));
    assert!(
        one.no_endpoint_error().detail.contains("orders has no instance (script)"),
        "{:?}",
        one.no_endpoint_error()
    );
    assert_eq!(scene.script.begun.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn trouble_keeps_what_was_told_last_and_is_asked_again_with_growing_patience() {
    let scene = Scene::new(false);
    let cluster = scene.cluster();
    scene.say.send(Ok(3)).unwrap();
    scene.say.send(Err("it is away".into())).unwrap();
    scene.settle().await;
    assert_eq!(size(&cluster), 3);
    (0..5).for_each(|_| scene.say.send(Err("it is away".into())).unwrap());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let begun = scene.script.begun.load(Relaxed);
    assert!((4..=6).contains(&begun), "{begun} times in four seconds");
    scene.say.send(Ok(1)).unwrap();
    tokio::time::sleep(MAX_BACKOFF).await;
    assert_eq!(size(&cluster), 1, "it recovers by itself");
    let text = scene.metrics.render();
    let line = "margay_discovery_instances{registry=\"script\",service=\"orders\"} 1";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("margay_discovery_errors_total{registry=\"script\"} 6"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_never_answered_is_named_to_those_who_ask_and_nobody_waits_for_it() {
    let scene = Scene::new(false);
    let cluster = scene.cluster();
    assert!(
        cluster.no_endpoint_error().detail.contains("no answer from script"),
        "{:?}",
        cluster.no_endpoint_error()
    );
    scene.say.send(Err("connection refused".into())).unwrap();
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
async fn the_task_ends_with_the_last_cluster_though_they_know_each_other() {
    let mut scene = Scene::new(false);
    let cluster = scene.cluster();
    scene.settle().await;
    scene.source = None;
    scene.say.send(Ok(1)).unwrap();
    scene.settle().await;
    assert_eq!(size(&cluster), 1, "the cluster holds its source");
    assert_eq!(Arc::strong_count(&scene.script), 3);
    drop(cluster);
    scene.settle().await;
    assert_eq!(Arc::strong_count(&scene.script), 1, "nobody holds the provider any more");
}

#[tokio::test(start_paused = true)]
async fn where_requests_ask_every_one_gets_an_answer_that_was_looked_for_after_it_came() {
    let scene = Scene::new(true);
    let cluster = scene.cluster();
    scene.settle().await;
    assert!(scene.source().has_answered() && scene.script.begun.load(Relaxed) == 0, "nobody asked");
    let port = |cluster: &Cluster| cluster.members().endpoints[0].port;
    let until = Instant::now() + Duration::from_secs(1);
    scene.source().wait_ready(until).await;
    assert_eq!(port(&cluster), Some(1));
    for n in 2..5 {
        scene.source().wait_ready(until).await;
        assert_eq!(port(&cluster), Some(n));
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_is_found_again_by_registry_and_service_while_it_is_held() {
    static KIND: ProviderKind = ProviderKind { name: "Script", settings: &[], provider: |_, _| made() };
    static MADE: Mutex<usize> = Mutex::new(0);
    fn made() -> Arc<dyn Provider> {
        *MADE.lock().unwrap() += 1;
        let (_, lines) = mpsc::unbounded_channel();
        let lines = tokio::sync::Mutex::new(lines);
        Arc::new(Script { lines, begun: AtomicUsize::new(0), asked: None })
    }
    let registries = Registries::new(BackgroundRuntime::default(), Dns::default(), Metrics::new(1));
    let settings = |port| Arc::new(ProviderSettings { kind: &KIND, port, ..ProviderSettings::default() });
    let one = registries.watch(&settings(1), &service(), false);
    assert!(Arc::ptr_eq(&one, &registries.watch(&settings(1), &service(), false)));
    let other = Service { name: "stock".into(), ..service() };
    assert!(!Arc::ptr_eq(&one, &registries.watch(&settings(1), &other, false)));
    assert!(!Arc::ptr_eq(&one, &registries.watch(&settings(2), &service(), false)));
    assert_eq!(*MADE.lock().unwrap(), 2, "one provider for a registry");
}
