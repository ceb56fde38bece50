//! The process: workers for the traffic, one for administration, the background runtime, and the graceful shutdown.

use super::{
    gateway::Gateway,
    listeners::{Listeners, accept_all, unlink_sockets, wait_drained},
    worker::Worker,
};
pub use crate::net::pingora::Task;
use crate::net::pingora::{WorkerService, run as serve};
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The listeners of a gateway.
pub struct Served {
    pub gateway: Arc<Gateway>,
    pub listeners: watch::Sender<Listeners>,
}

/// Runs the gateway until `stop` resolves, then drains: returns when all requests in flight are finished, the drain
/// timeout expires, or the task returned by `stop` resolves. `administration` runs on its own worker until the end;
/// `background` runs on its own runtime, where it cannot delay a request.
pub fn run(
    traffic: Served,
    administration: Served,
    threads: usize,
    background: impl FnOnce() -> Task + Send + 'static,
    stop: impl Future<Output = Task> + Send + 'static,
) {
    let mut jobs: Vec<WorkerService> =
        (0..threads).map(|index| worker_service(format!("worker-{index}"), index, &traffic)).collect();
    jobs.push(worker_service("administration".to_owned(), 0, &administration));
    let runtime = traffic.gateway.shared_state.background.clone();
    jobs.push(WorkerService::new("background", move || {
        runtime.attach(tokio::runtime::Handle::current());
        background()
    }));
    serve(
        jobs,
        Box::pin(async move {
            let hurry = stop.await;
            drain(&traffic.gateway, &traffic.listeners, hurry).await;
            unlink_sockets(&administration.listeners.borrow(), &[]);
        }),
    );
}

fn worker_service(name: String, index: usize, served: &Served) -> WorkerService {
    let worker = Arc::new(Worker { index, gateway: served.gateway.clone() });
    let listeners = served.listeners.subscribe();
    WorkerService::new(name, move || Box::pin(serve_listeners(worker, listeners)))
}

/// Accepts and serves connections on the current runtime.
pub async fn serve_listeners(worker: Arc<Worker>, listeners: watch::Receiver<Listeners>) {
    tokio::spawn(worker.clone().housekeeping());
    accept_all(worker, listeners).await;
}

/// Stops accepting, waits for requests in flight, writes the last lines of the access log.
async fn drain(gateway: &Gateway, listeners: &watch::Sender<Listeners>, hurry: Task) {
    unlink_sockets(&listeners.send_replace(Arc::from([])), &[]);
    gateway.drain.begin();
    let until = Instant::now() + gateway.plan.load().limits.drain;
    let finished = tokio::select! {
        finished = wait_drained(gateway, until) => finished,
        () = hurry => false,
    };
    if !finished {
        log::warn!(
            "{} connections were still open when the drain timeout expired",
            gateway.connections.open()
        );
    }
    gateway.log.flush(Duration::from_secs(1));
}
