//! The thread of the shared state: connections, subscriptions and the tasks of features run here, apart from the workers.

use std::{future::Future, io, sync::Arc};
use tokio::{runtime::Handle, sync::Notify};

/// The runtime; its thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct StateRuntime {
    handle: Handle,
    stop: Arc<Notify>,
}

impl StateRuntime {
    /// Starts the thread.
    pub fn start() -> io::Result<StateRuntime> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), Arc::<Notify>::default());
        let until = stop.clone();
        std::thread::Builder::new()
            .name("shared-state".to_owned())
            .spawn(move || runtime.block_on(until.notified()))?;
        Ok(StateRuntime { handle, stop })
    }

    /// Runs a task on the thread.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(task));
    }
}

impl Drop for StateRuntime {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}
