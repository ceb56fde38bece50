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
pub struct Background(Arc<Mutex<Stage>>);

enum Stage {
    Waiting(Vec<Task>),
    Running(Handle),
}

impl Default for Stage {
    fn default() -> Self {
        Stage::Waiting(Vec::new())
    }
}

impl Background {
    /// Starts the task now, or once there is a runtime.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Waiting(tasks) => tasks.push(Box::pin(task)),
            Stage::Running(runtime) => drop(runtime.spawn(task)),
        }
    }

    /// From now on tasks run on this runtime.
    pub fn run_on(&self, runtime: Handle) {
        let mut stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Stage::Waiting(tasks) = std::mem::replace(&mut *stage, Stage::Running(runtime.clone())) {
            tasks.into_iter().for_each(|task| drop(runtime.spawn(task)));
        }
    }
}

impl std::fmt::Debug for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Background")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_given_too_early_run_when_there_is_a_runtime() {
        let background = Background::default();
        let (tell, told) = tokio::sync::oneshot::channel();
        background.spawn(async { assert_eq!(tell.send(1), Ok(())) });
        background.run_on(Handle::current());
        assert_eq!(told.await, Ok(1));
        let (tell, told) = tokio::sync::oneshot::channel();
        background.spawn(async { assert_eq!(tell.send(2), Ok(())) });
        assert_eq!(told.await, Ok(2));
    }
}
