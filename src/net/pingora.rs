//! The process as a pingora server: each task is a service with its own thread and runtime.
//!
//! pingora's stock listener accepts on one runtime and hands each connection to a random other one. One single-threaded
//! service per worker avoids that, and with it the cost of moving every connection between threads.

use async_trait::async_trait;
use pingora::{
    server::{
        ListenFds, RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch,
        configuration::ServerConf,
    },
    services::{ServiceReadyNotifier, ServiceWithDependents},
};
use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
};

/// A task that runs until the process ends.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task and the name of its thread. The task is created on its own runtime.
pub struct WorkerService {
    name: String,
    run: Mutex<Option<Box<dyn FnOnce() -> Task + Send>>>,
}

impl WorkerService {
    /// A service whose thread has this name; `start` runs on its runtime and returns the task.
    pub fn new(name: impl Into<String>, start: impl FnOnce() -> Task + Send + 'static) -> WorkerService {
        WorkerService { name: name.into(), run: Mutex::new(Some(Box::new(start))) }
    }
}

#[async_trait]
impl ServiceWithDependents for WorkerService {
    async fn start_service(
        &mut self,
        _fds: Option<ListenFds>,
        mut shutdown: ShutdownWatch,
        _listeners_per_fd: usize,
        ready: ServiceReadyNotifier,
    ) {
        let start = self.run.lock().unwrap_or_else(PoisonError::into_inner).take();
        ready.notify_ready();
        let Some(start) = start else { return };
        tokio::select! {
            () = start() => {}
            _ = shutdown.wait_for(|down| *down) => {}
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}

/// Ends the process after our own graceful shutdown: pingora does not need to wait.
struct DrainCompletion(tokio::sync::Mutex<Option<Task>>);

#[async_trait]
impl ShutdownSignalWatch for DrainCompletion {
    async fn recv(&self) -> ShutdownSignal {
        if let Some(task) = self.0.lock().await.take() {
            task.await;
        }
        ShutdownSignal::FastShutdown
    }
}

/// Runs the services until `until` completes.
pub fn run(services: Vec<WorkerService>, until: Task) {
    let conf = ServerConf {
        threads: 1,
        work_stealing: false,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    for service in services {
        server.add_service(service);
    }
    server.run(RunArgs { shutdown_signal: Box::new(DrainCompletion(tokio::sync::Mutex::new(Some(until)))) });
}
