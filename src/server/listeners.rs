//! The listening sockets, and the accept loops of the workers.

use super::{accepted, gateway::Gateway, l4, worker::Worker};
use crate::{
    net::listener::{Acceptor, Address, BoundSocket, bind},
    plan::ListenerPlan,
};
use arc_swap::ArcSwap;
use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// A bound listening socket.
#[derive(Debug)]
pub struct BoundListener {
    pub socket: BoundSocket,
    plan: ArcSwap<ListenerPlan>,
}

impl BoundListener {
    /// The bound address, with the port that the kernel picked.
    pub fn address(&self) -> Address {
        self.socket.address().unwrap_or_else(|_| self.plan.load().address.clone())
    }

    /// The current plan of the listener.
    pub fn plan(&self) -> Arc<ListenerPlan> {
        self.plan.load_full()
    }
}

/// A listener that could not be bound, and the error.
#[derive(Debug)]
pub struct BindError {
    pub name: String,
    pub address: Address,
    pub error: io::Error,
}

/// All current listening sockets.
pub type Listeners = Arc<[Arc<BoundListener>]>;

/// Binds new listeners and keeps existing ones; changes nothing if binding fails.
pub fn update(old: &[Arc<BoundListener>], plans: &[ListenerPlan]) -> Result<Listeners, BindError> {
    let serves = |bound: &&Arc<BoundListener>, plan: &ListenerPlan| {
        bound.plan.load().address == plan.address && bound.socket.exists()
    };
    let bind_or_keep = |plan: &ListenerPlan| match old.iter().find(|bound| serves(bound, plan)) {
        Some(bound) => Ok(bound.clone()),
        None => bind(&plan.address, plan.mode)
            .map(|socket| Arc::new(BoundListener { plan: ArcSwap::from_pointee(plan.clone()), socket }))
            .map_err(|error| BindError { name: plan.name.to_string(), address: plan.address.clone(), error }),
    };
    let bound: Listeners = plans.iter().map(bind_or_keep).collect::<Result<_, _>>()?;
    for (bound, plan) in bound.iter().zip(plans) {
        let before = bound.plan();
        let mut plan = plan.clone();
        match plan.has_same_policy(&before) {
            true => plan.outdated = before.outdated.clone(),
            false => before.outdated.store(true, Ordering::Relaxed),
        }
        let plan = Arc::new(plan);
        bound.plan.store(plan.clone());
        if let Some(mode) = plan.mode.filter(|_| before.mode != plan.mode)
            && let Err(error) = bound.socket.set_mode(mode)
        {
            log::error!("cannot change the mode of {}: {error}", plan.address);
        }
    }
    Ok(bound)
}

/// Lets the connections of removed listeners end with their next response, and removes the files of Unix domain sockets
/// that are no longer listened on, even if they are still referenced.
pub fn retire(old: &[Arc<BoundListener>], now: &[Arc<BoundListener>]) {
    let stays = |bound: &Arc<BoundListener>| now.iter().any(|other| Arc::ptr_eq(bound, other));
    for gone in old.iter().filter(|bound| !stays(bound)) {
        gone.plan.load().outdated.store(true, Ordering::Relaxed);
        gone.socket.remove();
    }
}

/// Runs the accept loops of a worker: follows the set of listeners until the gateway drains.
pub async fn accept_all(worker: Arc<Worker>, mut listeners: watch::Receiver<Listeners>) {
    let mut tasks: Vec<(Arc<BoundListener>, oneshot::Sender<()>)> = Vec::new();
    loop {
        let current = listeners.borrow_and_update().clone();
        // A dropped sender stops the task once the backlog is empty.
        tasks.retain(|(accepted, _)| current.iter().any(|bound| Arc::ptr_eq(bound, accepted)));
        for bound in current.iter() {
            if !tasks.iter().any(|(accepted, _)| Arc::ptr_eq(bound, accepted)) {
                let (stop, stopped) = oneshot::channel();
                tokio::spawn(accept(bound.clone(), worker.clone(), stopped));
                tasks.push((bound.clone(), stop));
            }
        }
        drop(current);
        if listeners.changed().await.is_err() {
            return;
        }
    }
}

/// Accepts from one socket until `stopped`, and then until its backlog is empty.
async fn accept(bound: Arc<BoundListener>, worker: Arc<Worker>, mut stopped: oneshot::Receiver<()>) {
    match bound.socket.datagrams(worker.index) {
        Ok(Some(socket)) => {
            return l4::sessions::serve(socket, move || bound.plan(), worker, stopped).await;
        }
        Ok(None) => {}
        Err(error) => {
            return log::error!("worker {} cannot receive on {}: {error}", worker.index, bound.address());
        }
    }
    let acceptor = match Acceptor::new(&bound.socket) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            return log::error!("worker {} cannot accept on {}: {error}", worker.index, bound.address());
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = acceptor.accept() => accepted,
            _ = &mut stopped => return,
        };
        match accepted {
            Ok(accepted) => accepted::handle(accepted, bound.plan(), &worker),
            // The usual cause is the descriptor limit: other connections must close first.
            Err(error) => {
                log::warn!("cannot accept a connection on {}: {error}", bound.address());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Waits until all connections are closed, or until the deadline.
pub async fn wait_drained(gateway: &Gateway, deadline: Instant) -> bool {
    while gateway.connections.open() > 0 {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

#[cfg(test)]
#[path = "listeners_tests.rs"]
mod tests;
