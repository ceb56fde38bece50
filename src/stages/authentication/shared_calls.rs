//! Calls to other services that several requests wait for: one call for each key, which runs in the background.

use crate::net::background::BackgroundRuntime;
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

type Running<K, R> = Mutex<HashMap<K, watch::Receiver<Option<R>>>>;

/// The calls in progress.
pub struct SharedCalls<K: Eq + Hash, R>(Arc<Running<K, R>>);

/// A call that other requests may wait for too.
#[derive(Debug)]
pub struct SharedCall<R>(watch::Receiver<Option<R>>);

/// Removes a call that has ended, or was dropped with its runtime.
struct RunningGuard<K: Eq + Hash, R> {
    key: K,
    calls: Arc<Running<K, R>>,
}

impl<K: Eq + Hash, R> Drop for RunningGuard<K, R> {
    fn drop(&mut self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl<K: Eq + Hash, R> Default for SharedCalls<K, R> {
    fn default() -> Self {
        SharedCalls(Arc::default())
    }
}

impl<K: Eq + Hash, R> fmt::Debug for SharedCalls<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("SharedCalls")
    }
}

impl<K, R> SharedCalls<K, R>
where
    K: Clone + Eq + Hash + Send + 'static,
    R: Clone + Send + Sync + 'static,
{
    /// The running call for this key, or a new one. `known` is the result of a call that ended after the caller looked for
    /// it: a call stores its result before it ends.
    pub fn join<F>(
        &self,
        key: K,
        background: &BackgroundRuntime,
        known: impl FnOnce(&K) -> Option<R>,
        call: impl FnOnce() -> F,
    ) -> SharedCall<R>
    where
        F: Future<Output = R> + Send + 'static,
    {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = running.get(&key) {
            return SharedCall(call.clone());
        }
        if let Some(result) = known(&key) {
            return SharedCall(watch::channel(Some(result)).1);
        }
        let (sender, receiver) = watch::channel(None);
        running.insert(key.clone(), receiver.clone());
        let (guard, call) = (RunningGuard { key, calls: self.0.clone() }, call());
        background.spawn(async move {
            let result = call.await;
            drop(guard);
            let _ = sender.send(Some(result));
        });
        SharedCall(receiver)
    }
}

impl<R: Clone> SharedCall<R> {
    /// The result; `None` if the gateway is shutting down.
    pub async fn result(mut self) -> Option<R> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|result| result.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use tokio::runtime::Handle;

    fn background() -> BackgroundRuntime {
        let background = BackgroundRuntime::default();
        background.attach(Handle::current());
        background
    }

    #[tokio::test]
    async fn callers_with_the_same_key_share_one_call() {
        let (calls, started, background) =
            (SharedCalls::default(), Arc::new(AtomicUsize::new(0)), background());
        let join = |key: u8| {
            let started = started.clone();
            calls.join(
                key,
                &background,
                |_| None,
                move || async move {
                    tokio::task::yield_now().await;
                    started.fetch_add(1, SeqCst);
                    key
                },
            )
        };
        let waiting: Vec<_> = (0..100).map(|index| join(index % 2)).collect();
        let results = futures_util::future::join_all(waiting.into_iter().map(SharedCall::result)).await;
        assert_eq!(results[..2], [Some(0), Some(1)]);
        assert_eq!(started.load(SeqCst), 2);
        assert_eq!(join(0).result().await, Some(0), "the next call of the key");
        assert_eq!(started.load(SeqCst), 3);
    }

    #[tokio::test]
    async fn a_result_that_is_known_by_now_starts_no_call() {
        let calls = SharedCalls::default();
        let call = calls.join(1, &background(), |key| Some(key + 1), || async { unreachable!() });
        assert_eq!(call.result().await, Some(2));
    }

    #[tokio::test]
    async fn a_call_whose_runtime_ends_does_not_block_the_next_one() {
        let (calls, lost) = (SharedCalls::default(), BackgroundRuntime::default());
        let call = calls.join(1, &lost, |_| None, || async { 1 });
        drop(lost);
        assert_eq!(call.result().await, None);
        assert_eq!(calls.join(1, &background(), |_| None, || async { 2 }).result().await, Some(2));
    }
}
