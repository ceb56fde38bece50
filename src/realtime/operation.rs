//! What servers, and other nodes, do with the connections of a hub: one type for sending, closing, groups, permissions and
//! queries. Plain data, so that it can be sent to every worker and to every node; the outcomes are merged.

use super::{filter::Filter, message::Publication, permissions::PermissionKind};
use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

/// The connections that an operation concerns.
#[derive(Clone, Debug)]
pub enum Recipients {
    All,
    Group(Arc<str>),
    User(Arc<str>),
    Connection(Arc<str>),
}

/// The connections that an operation concerns, without the excluded ones and those that the filter does not match.
#[derive(Clone, Debug)]
pub struct Selection {
    pub recipients: Recipients,
    /// Ids of connections.
    pub excluded: Arc<[Box<str>]>,
    pub filter: Option<Arc<Filter>>,
}

impl Selection {
    /// All of the recipients.
    pub fn of(recipients: Recipients) -> Selection {
        Selection { recipients, excluded: Arc::new([]), filter: None }
    }
}

/// An operation on the connections of one hub.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Queues the publication at every selected connection.
    Send { to: Selection, publication: Arc<Publication> },
    /// Ends the sessions of the selected connections.
    Close { whom: Selection, reason: Box<str> },
    /// Counts the connections.
    Count(Recipients),
    /// Adds the selected connections to groups.
    Join { whom: Selection, groups: Arc<[Arc<str>]> },
    /// Removes the selected connections from groups; `None`: from all of them.
    Leave { whom: Selection, groups: Option<Arc<[Arc<str>]>> },
    /// Changes or checks a grant of one connection; `group: None` is the grant for all groups.
    Permission {
        connection: Arc<str>,
        kind: PermissionKind,
        group: Option<Arc<str>>,
        action: PermissionAction,
    },
    /// Members of a group in the order of their ids, after this id, at most this many.
    Members { group: Arc<str>, after: Option<Arc<str>>, max_members: usize },
}

/// What is done with a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermissionAction {
    Grant,
    Revoke,
    Check,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub connection_id: Arc<str>,
    pub user_id: Option<Arc<str>>,
}

/// The outcome of an operation: those of workers and nodes are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Connections that the operation concerned: that were counted, sent to, closed, changed; for a check those that have
    /// the grant.
    pub matched: u64,
    /// Of `Members`, in the order of the ids.
    pub members: Vec<Member>,
    /// Connections of `Join` that were already in as many groups as they may be in.
    pub refused: u64,
}

impl Outcome {
    /// Adds the outcome of another worker or node.
    pub fn merge(&mut self, other: Outcome) {
        self.matched += other.matched;
        self.refused += other.refused;
        self.members.extend(other.members);
    }
}

/// Why an operation failed: nodes did not respond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackplaneUnavailable {
    /// The names of the missing nodes; empty if the backplane itself is unreachable.
    pub nodes: Vec<Box<str>>,
}

/// The result of an operation on all workers and nodes.
pub type OperationFuture = Pin<Box<dyn Future<Output = Result<Outcome, BackplaneUnavailable>> + Send>>;

/// Executes operations: the engine.
pub trait Operations: Send + Sync + Debug {
    /// Executes the operation on every worker and every node; done when all have applied it. `service` is the name of the
    /// service, `hub` the name of the hub in lower case.
    fn execute(&self, service: &str, hub: &str, operation: Operation) -> OperationFuture;
}
