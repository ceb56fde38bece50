//! The runtime beside the workers: what waits for others (DNS, keys, discovery) runs there and delays no request.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::runtime::Handle;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A way to start background tasks, also before their runtime is there: they wait for it.
#[derive(Clone, Default)]
pub struct BackgroundRuntime(Arc<Mutex<SpawnState>>);

enum SpawnState {
    Queued(Vec<Task>),
    Running(Handle),
}

impl Default for SpawnState {
    fn default() -> Self {
        SpawnState::Queued(Vec::new())
    }
}

impl BackgroundRuntime {
    /// Starts the task now, or once there is a runtime.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            SpawnState::Queued(tasks) => tasks.push(Box::pin(task)),
            SpawnState::Running(runtime) => drop(runtime.spawn(task)),
        }
    }

    /// From now on tasks run on this runtime.
    pub fn attach(&self, runtime: Handle) {
        let mut stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let SpawnState::Queued(tasks) =
            std::mem::replace(&mut *stage, SpawnState::Running(runtime.clone()))
        {
            tasks.into_iter().for_each(|task| drop(runtime.spawn(task)));
        }
    }
}

impl std::fmt::Debug for BackgroundRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Background")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_given_too_early_run_when_there_is_a_runtime() {
        let background = BackgroundRuntime::default();
        let (tell, told) = tokio::sync::oneshot::channel();
        background.spawn(async { assert_eq!(tell.send(1), Ok(())) });
        background.attach(Handle::current());
        assert_eq!(told.await, Ok(1));
        let (tell, told) = tokio::sync::oneshot::channel();
        background.spawn(async { assert_eq!(tell.send(2), Ok(())) });
        assert_eq!(told.await, Ok(2));
    }
}
