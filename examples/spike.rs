#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
use margay::{
    backend::{attempt::Terms, cluster::*},
    edge::{gateway::*, listeners::rebind, run},
    plan::*,
    telemetry::*,
    wire::{
        h1::{client::ClientLimits, parse::HeadLimits},
        names::Names,
    },
};
use std::{sync::Arc, time::Duration};
fn main() {
    let threads: usize = std::env::var("THREADS").ok().and_then(|t| t.parse().ok()).unwrap_or(1);
    let metrics = Metrics::new(threads);
    let names = Names::default();
    let states = States::default();
    let cluster = states.cluster(
        &ClusterSpec {
            key: "k".into(),
            endpoints: vec![("127.0.0.1".into(), 9000)],
            balancer: BalancerKind::First,
        },
        &names,
    );
    let listener = ListenerPlan { name: "x".into(), address: "127.0.0.1:8080".parse().unwrap() };
    let s = Duration::from_secs;
    let plan = Plan {
        id: "1".into(),
        ocelot: false,
        limits: Limits {
            client: ClientLimits {
                head: HeadLimits { line: 16384, fields: 65536, count: 128 },
                body: u64::MAX,
                head_time: s(10),
                idle_time: s(75),
            },
            body_idle: s(60),
            backend_idle: s(55),
            drain: s(30),
            connections: 10000,
            connections_per_client: usize::MAX,
            requests_per_connection: u32::MAX,
        },
        listeners: Box::from([listener.clone()]),
        access_log: false,
        routes: Box::from([Arc::new(Route {
            label: "a".into(),
            stages: Box::from([]),
            target: Target::Cluster {
                cluster,
                terms: Terms { timeout: s(90), connect: s(5), preserve_host: false },
            },
            metrics: metrics.route("a"),
        })]),
    };
    let bound = rebind(&[], &[listener]).unwrap();
    let gateway = Arc::new(Gateway {
        plan: arc_swap::ArcSwap::from_pointee(plan),
        states,
        names,
        metrics: metrics.clone(),
        log: AccessLog::stdout(threads, metrics.dropped_lines()).unwrap(),
        drain: Drain::default(),
        connections: Arc::new(Connections::default()),
    });
    let stop = Box::pin(async {
        let mut t = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        t.recv().await;
    });
    run::run(
        gateway,
        tokio::sync::watch::Sender::new(bound),
        threads,
        || Box::pin(std::future::pending()),
        stop,
    );
}
