//! What stages may ask of the edge, which lies above them: work that no client waits for, and the rest of the way for an
//! exchange of their own.

use super::{exchange::Exchange, response::RouteResult};
use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

/// Work that somebody else polls to its end.
pub type Task<T = ()> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The edge as stages see it, holding the plan that the exchange began with.
pub trait Runtime: Send + Sync + Debug {
    /// Starts a task beside the connections of the worker that the caller runs on; outside of one it is dropped.
    fn spawn(&self, task: Task);

    /// Takes an exchange on from behind the stage that it was forked in: the stages further in, then the target. It is
    /// nobody's but the caller's, and has no body: nothing is logged, and the counters of the route stay as they are.
    fn run_remaining(self: Arc<Self>, exchange: Box<Exchange>) -> Task<RouteResult>;
}
