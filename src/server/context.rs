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
    /// It is idle since then.
    KeepAlive(Instant),
    /// It is closed so that the client can still read the response.
    Linger,
    /// It is closed at once: the client closed its side, or must notice that the response is incomplete.
    Close,
    /// It changed its protocol; the label of the route is needed for the access log.
    Tunnel(Box<Upgrade>, Arc<str>),
}
