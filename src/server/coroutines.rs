//! Coroutines that serve exchanges, pooled per worker: an idle connection holds none, and a request allocates none.
//!
//! A coroutine is a future that is never recreated: it receives a call, serves it and returns the result, then waits for
//! the next call. The future of an exchange has thousands of bytes, which are neither moved nor held while a
//! connection is idle.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    thread::LocalKey,
};

/// How many idle coroutines a worker keeps.
const MAX_IDLE_COROUTINES: usize = 256;

/// A coroutine. It receives calls with [`receive_call`] and returns results with [`CoroutinePool::respond`].
type Coroutine = Pin<Box<dyn Future<Output = Infallible> + Send>>;

/// The coroutines of one worker; a call `C` results in an `R`.
pub struct CoroutinePool<C, R> {
    idle: RefCell<Vec<Coroutine>>,
    /// The call of the coroutine that is being polled, until it is received.
    call: Cell<Option<C>>,
    /// Its result, if it has just returned one.
    result: Cell<Option<R>>,
}

impl<C: 'static, R: 'static> CoroutinePool<C, R> {
    /// A pool without coroutines.
    pub const fn empty() -> CoroutinePool<C, R> {
        CoroutinePool { idle: RefCell::new(Vec::new()), call: Cell::new(None), result: Cell::new(None) }
    }

    /// Calls an idle coroutine, or a new one.
    pub fn call<F>(&self, pool: &'static LocalKey<Self>, call: C, start: fn() -> F) -> CoroutineCall<C, R>
    where
        F: Future<Output = Infallible> + Send + 'static,
    {
        let coroutine = self.idle.borrow_mut().pop().unwrap_or_else(|| Box::pin(start()));
        CoroutineCall { pool, coroutine: Some(coroutine), call: Some(call) }
    }

    /// Returns the result of the call that the current coroutine serves; it must wait for the next call then.
    pub fn respond(&self, result: R) {
        self.result.set(Some(result));
    }
}

/// Waits for a call; for coroutines of this pool.
pub async fn receive_call<C: 'static, R: 'static>(pool: &'static LocalKey<CoroutinePool<C, R>>) -> C {
    poll_fn(|_| pool.with(|pool| pool.call.take()).map_or(Poll::Pending, Poll::Ready)).await
}

/// A call in progress. Dropped before its end, it drops its coroutine.
pub struct CoroutineCall<C: 'static, R: 'static> {
    pool: &'static LocalKey<CoroutinePool<C, R>>,
    coroutine: Option<Coroutine>,
    call: Option<C>,
}

impl<C: Unpin + 'static, R: 'static> Future for CoroutineCall<C, R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<R> {
        let this = &mut *self;
        let Some(coroutine) = &mut this.coroutine else { return Poll::Pending };
        if let Some(call) = this.call.take() {
            this.pool.with(|pool| pool.call.set(Some(call)));
        }
        let Poll::Pending = coroutine.as_mut().poll(cx);
        let Some(result) = this.pool.with(|pool| pool.result.take()) else { return Poll::Pending };
        let idle = this.coroutine.take();
        this.pool.with(|pool| {
            let mut all = pool.idle.borrow_mut();
            if all.len() < MAX_IDLE_COROUTINES {
                all.extend(idle);
            }
        });
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, task::Waker};

    thread_local! {
        static POOL: CoroutinePool<Arc<u32>, u32> = const { CoroutinePool::empty() };
    }

    /// Doubles numbers, and waits once for each.
    async fn double() -> Infallible {
        loop {
            let number = receive_call(&POOL).await;
            tokio::task::yield_now().await;
            POOL.with(|pool| pool.respond(2 * *number));
        }
    }

    fn call(number: Arc<u32>) -> CoroutineCall<Arc<u32>, u32> {
        POOL.with(|pool| pool.call(&POOL, number, double))
    }

    fn idle() -> usize {
        POOL.with(|pool| pool.idle.borrow().len())
    }

    #[tokio::test]
    async fn a_coroutine_serves_one_call_after_the_other() {
        assert_eq!(call(Arc::new(2)).await, 4);
        assert_eq!(idle(), 1);
        assert_eq!(call(Arc::new(3)).await, 6);
        assert_eq!(idle(), 1);
        assert_eq!(tokio::join!(call(Arc::new(4)), call(Arc::new(5))), (8, 10));
        assert_eq!(idle(), 2);
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_drops_what_it_holds() {
        let number = Arc::new(1);
        let mut dropped = Box::pin(call(number.clone()));
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(Arc::strong_count(&number), 2);
        drop(dropped);
        assert_eq!((Arc::strong_count(&number), idle()), (1, 0));
    }

    #[test]
    fn a_call_is_small_in_its_caller() {
        assert!(size_of::<CoroutineCall<Box<u8>, u8>>() <= 40);
    }
}
