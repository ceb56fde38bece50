//! The surroundings of an exchange, and how its connection continues.

use super::{
    connection::ConnectionContext,
    worker::{CachedPlan, Worker},
};
use crate::pipeline::{exchange::Exchange, upgrade::Upgrade};
use std::{sync::Arc, time::Instant};

/// The surroundings of an exchange: its connection, its plan, and the worker.
pub struct Context<'c> {
    /// The client connection.
    pub connection: &'c ConnectionContext,
    /// The request and its progress.
    pub exchange: &'c mut Exchange,
    /// The plan of the exchange from start to end.
    pub plan: &'c CachedPlan,
    /// The worker that runs the exchange.
    pub worker: &'c Worker,
}

/// The state of the connection after an exchange.
pub enum NextAction {
    /// Keep it open; it has been idle since this time.
    KeepAlive(Instant),
    /// Close it with a lingering close, so that the client can still read the response.
    Linger,
    /// Close it immediately: the client closed its side, or must notice that the response is incomplete.
    Close,
    /// Tunnel bytes after an upgrade; the access log needs the label of the route.
    Tunnel(Box<Upgrade>, Arc<str>),
}
