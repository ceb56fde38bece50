//! What the engine and the backplane need of each other.

use super::wire::{Take, WireSession};
use crate::realtime::operation::{BackplaneUnavailable, Operation, OperationFuture};
use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

/// A call between nodes.
pub type NodeFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A session of another node.
#[derive(Debug)]
pub struct TakenSession {
    pub session: WireSession,
    /// Keeps the operations that the session has not received.
    pub late: Box<dyn LateOperations>,
}

/// Keeps the operations that arrive while a session is on its way, until it is dropped.
pub trait LateOperations: Send + Debug {
    /// Returns them, once the session is a member of its hub here; `None`: there were too many.
    fn end(self: Box<Self>) -> Option<Vec<Arc<Operation>>>;
}

/// The state of the backplane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackplaneState {
    pub is_up: bool,
    /// The names of all live nodes, this one included, sorted.
    pub nodes: Vec<String>,
}

/// The other nodes as the engine sees them.
pub trait Backplane: Send + Sync + Debug {
    /// The id of the next publication of this node.
    fn next_id(&self) -> (u64, u64);

    /// An operation that this node applies next; then it is sent with `publish` or `request`.
    fn apply(&self, service: &str, hub: &str, operation: &Arc<Operation>);

    /// Sends an operation without a response to all nodes; resolves to whether it was accepted. In order per caller.
    fn publish(&self, service: &str, hub: &str, operation: &Arc<Operation>) -> NodeFuture<bool>;

    /// Executes an operation on all other nodes.
    fn request(&self, service: &str, hub: &str, operation: &Arc<Operation>) -> OperationFuture;

    /// Takes a session over from its node; `None`: no node has it, or the key is wrong.
    fn take(
        &self,
        service: &str,
        hub: &str,
        take: Take,
    ) -> NodeFuture<Result<Option<TakenSession>, BackplaneUnavailable>>;

    /// Waits until other nodes reach this one, at most two seconds.
    fn wait_ready(&self) -> NodeFuture<()>;

    /// Leaves the other nodes: they do not wait for this one any more.
    fn leave(&self) -> NodeFuture<()>;

    /// The state for operators.
    fn state(&self) -> BackplaneState;
}

/// This node as the backplane sees it.
pub trait LocalNode: Send + Sync + Debug {
    /// Applies an operation of another node; in the order of the calls.
    fn apply(&self, service: &str, hub: &str, operation: &Arc<Operation>);

    /// Applies an operation on this node only; what was applied before is seen by it.
    fn execute_here(&self, service: &str, hub: &str, operation: &Arc<Operation>) -> OperationFuture;

    /// Gives a session away; `None`: this node does not have it, or the key is wrong.
    fn give(&self, service: &str, hub: &str, take: Take) -> NodeFuture<Option<WireSession>>;

    /// Messages of other nodes may have been lost.
    fn handle_gap(&self);

    /// Counts a message of another node, with its delay in microseconds.
    fn count_received(&self, delay_us: u64);

    /// Whether the backplane is reachable.
    fn set_up(&self, is_up: bool);
}
