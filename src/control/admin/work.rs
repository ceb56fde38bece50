//! Work that takes long or blocks, such as checking a configuration: on the blocking pool of the administration's worker,
//! a few at a time.

use super::error::AdminError;
use http::StatusCode;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Calls that run at the same time.
const MAX_RUNNING: usize = 2;

/// Runs work on threads that may block.
#[derive(Clone, Debug)]
pub struct WorkPool(Arc<Semaphore>);

impl Default for WorkPool {
    fn default() -> Self {
        WorkPool(Arc::new(Semaphore::new(MAX_RUNNING)))
    }
}

impl WorkPool {
    /// Runs `work` to its end, also if the client closes its connection.
    ///
    /// # Errors
    ///
    /// 503 `admin.busy` if too much work is running, 500 if it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AdminError> {
        let busy = "the administration is busy: try again later";
        let permit = self.0.clone().try_acquire_owned();
        let permit =
            permit.map_err(|_| AdminError::new(StatusCode::SERVICE_UNAVAILABLE, "admin.busy", busy))?;
        let job = move || {
            let result = work();
            drop(permit);
            result
        };
        tokio::task::spawn_blocking(job).await.map_err(|error| {
            log::error!("a call of the administration failed: {error}");
            AdminError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "admin.internal",
                "the call failed; see the log",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn more_work_than_permits_is_rejected_and_a_panic_returns_its_permit() {
        let pool = WorkPool::default();
        let panicking = pool.run(|| panic!("the work of a test")).await;
        assert_eq!(panicking.map(|()| 0).unwrap_err().status(), StatusCode::INTERNAL_SERVER_ERROR);
        let (release, wait) = channel::<()>();
        let blocking = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(move || wait.recv().is_ok()).await }
        });
        while pool.0.available_permits() == MAX_RUNNING {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(|| 7).await, Ok(7), "another permit is free");
        let other = pool.0.clone().try_acquire_owned();
        assert_eq!(pool.run(|| 7).await.unwrap_err().code(), "admin.busy");
        drop((release, other));
        assert!(blocking.await.is_ok_and(|ran| ran.is_ok()));
    }
}
