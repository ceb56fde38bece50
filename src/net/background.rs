//! Runtime for background tasks (DNS, signing keys, discovery), apart from the workers so that it delays no request.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::runtime::Handle;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns background tasks. Tasks spawned before the runtime is attached are queued.
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
    /// Spawns the task, or queues it until a runtime is attached.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            SpawnState::Queued(tasks) => tasks.push(Box::pin(task)),
            SpawnState::Running(runtime) => drop(runtime.spawn(task)),
        }
    }

    /// Sets the runtime and spawns the queued tasks on it.
    pub fn attach(&self, runtime: Handle) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let SpawnState::Queued(tasks) =
            std::mem::replace(&mut *state, SpawnState::Running(runtime.clone()))
        {
            tasks.into_iter().for_each(|task| drop(runtime.spawn(task)));
        }
    }
}

impl std::fmt::Debug for BackgroundRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("BackgroundRuntime")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_spawned_before_the_runtime_is_attached_run_afterwards() {
        let background = BackgroundRuntime::default();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        background.spawn(async { assert_eq!(sender.send(1), Ok(())) });
        background.attach(Handle::current());
        assert_eq!(receiver.await, Ok(1));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        background.spawn(async { assert_eq!(sender.send(2), Ok(())) });
        assert_eq!(receiver.await, Ok(2));
    }
}
