//! The process: workers for the traffic, one for administration, the background runtime, and the graceful shutdown.

use super::{
    gateway::Gateway,
    listeners::{BoundListener, Listeners, accept_all, retire, wait_drained},
    worker::Worker,
};
pub use crate::net::pingora::Task;
use crate::net::pingora::{WorkerService, run as serve};
use std::{
    future::Future,
    sync::{Arc, Weak},
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
            retire(&administration.listeners.borrow(), &[]);
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

/// How long handshakes that have begun may take until the listeners are closed.
const HANDSHAKE_DELAY: Duration = Duration::from_millis(50);
/// How long the connections that are left at the end may take to be reset.
const RESET_TIMEOUT: Duration = Duration::from_millis(100);
/// How long connections in the backlog of the listeners are accepted.
const BACKLOG_TIMEOUT: Duration = Duration::from_secs(1);

/// Reports not ready for `Limits.ShutdownDelay`, stops accepting, lets requests in flight finish, writes the last lines of
/// the access log.
async fn drain(gateway: &Gateway, listeners: &watch::Sender<Listeners>, hurry: Task) {
    gateway.drain.announce();
    let limits = gateway.plan.load().limits;
    let finish = async {
        tokio::time::sleep(limits.shutdown_delay).await;
        let closing = close_listeners(listeners).await;
        gateway.drain.begin();
        gateway.shared_state.agents.begin_drain();
        gateway.shared_state.devices.begin_drain();
        if let Some(engine) = gateway.shared_state.hub_engine.get() {
            engine.begin_drain(limits.drain / 2);
        }
        let until = Instant::now() + limits.drain;
        wait_backlog_accepted(&closing, until.min(Instant::now() + BACKLOG_TIMEOUT)).await;
        if let Some(engine) = gateway.shared_state.hub_engine.get() {
            engine.hand_over(until).await;
        }
        wait_drained(gateway, until).await
    };
    let finished = tokio::select! {
        finished = finish => finished,
        () = hurry => false,
    };
    if !finished {
        log::warn!(
            "{} connections were still open when the drain timeout expired",
            gateway.connections.open()
        );
    }
    gateway.transport.terminate_all();
    // Resets are sent by the tasks of the connections.
    wait_drained(gateway, Instant::now() + RESET_TIMEOUT).await;
    gateway.shared_state.telemetry.flush(Duration::from_secs(1));
}

/// Stops accepting. The sockets are closed when their last worker has dropped them.
async fn close_listeners(listeners: &watch::Sender<Listeners>) -> Vec<Weak<BoundListener>> {
    let bound = listeners.borrow().clone();
    bound.iter().for_each(|bound| bound.socket.stop_handshakes());
    drop(bound);
    // The workers accept what is in the backlog.
    tokio::time::sleep(HANDSHAKE_DELAY).await;
    let closing = listeners.send_replace(Arc::from([]));
    retire(&closing, &[]);
    closing.iter().map(Arc::downgrade).collect()
}

/// Waits until every worker has accepted the connections in the backlog and dropped its listeners.
async fn wait_backlog_accepted(listeners: &[Weak<BoundListener>], until: Instant) {
    while listeners.iter().any(|bound| bound.strong_count() > 0) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
