//! The process: workers, the background, and the way down.

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

/// Runs the gateway until `stop` is ready and everything in flight is finished, or the drain time is over, or whatever `stop` gave back is ready.
/// `background` is started on a runtime of its own, where nothing it does can delay a request.
pub fn run(
    gateway: Arc<Gateway>,
    listeners: watch::Sender<Listeners>,
    threads: usize,
    background: impl FnOnce() -> Task + Send + 'static,
    stop: impl Future<Output = Task> + Send + 'static,
) {
    let mut jobs: Vec<WorkerService> =
        (0..threads).map(|index| worker_service(index, &gateway, listeners.subscribe())).collect();
    let runtime = gateway.shared_state.background.clone();
    jobs.push(WorkerService::new("background", move || {
        runtime.attach(tokio::runtime::Handle::current());
        background()
    }));
    serve(
        jobs,
        Box::pin(async move {
            let hurry = stop.await;
            drain(&gateway, &listeners, hurry).await;
        }),
    );
}

fn worker_service(
    index: usize,
    gateway: &Arc<Gateway>,
    listeners: watch::Receiver<Listeners>,
) -> WorkerService {
    let worker = Arc::new(Worker { index, gateway: gateway.clone() });
    WorkerService::new(format!("worker-{index}"), move || {
        Box::pin(async move {
            tokio::spawn(worker.clone().housekeeping());
            accept_all(worker, listeners).await;
        })
    })
}

/// Stops accepting, lets what is in flight end, writes the last lines of the access log.
async fn drain(gateway: &Gateway, listeners: &watch::Sender<Listeners>, hurry: Task) {
    unlink_sockets(&listeners.send_replace(Arc::from([])), &[]);
    gateway.drain.begin();
    let until = Instant::now() + gateway.plan.load().limits.drain;
    let finished = tokio::select! {
        finished = wait_drained(gateway, until) => finished,
        () = hurry => false,
    };
    if !finished {
        log::warn!("{} connections were still open when the drain time was over", gateway.connections.open());
    }
    gateway.log.flush(Duration::from_secs(1));
}
