//! This node among the others.

use super::{
    contract::{Backplane, BackplaneState, LateOperations, LocalNode, NodeFuture, TakenSession},
    convert::{from_wire, outcome_to_wire, to_wire},
    lease::{self, Peers, RENEWAL_INTERVAL},
    publisher::{Accepted, Publisher},
    requests::{REQUEST_TIMEOUT, Request, Requests},
    takes::PendingTakes,
    wire::{Body, Empty, Envelope, Take, WireOutcome},
};
use crate::realtime::operation::{BackplaneUnavailable, Operation, OperationFuture};
use crate::state::{Notice, SharedState, Subscription};
use bytes::Bytes;
use prost::Message;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// How many messages of other nodes may wait; more are lost, which is detected.
const RECEIVE_CAPACITY: usize = 64 * 1024;
/// How long a new node waits for its connection before it reports an outage.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long after a failed renewal of the lease the next one follows.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How often a node that leaves checks whether its responses are sent.
const RESPONSE_CHECK_INTERVAL: Duration = Duration::from_millis(2);
/// The area of channels in the shared state.
const AREA: &str = "hub";

/// This node.
#[derive(Debug)]
pub struct Node {
    name: Arc<str>,
    /// Random at each start.
    instance: u64,
    state: Arc<SharedState>,
    local: Weak<dyn LocalNode>,
    publisher: Publisher,
    /// The channel of all nodes.
    all: Arc<str>,
    requests: Requests,
    takes: PendingTakes,
    /// A clone exists for each response that is not sent yet.
    responses: Arc<()>,
    peers: Mutex<Peers>,
    last_number: AtomicU64,
    is_up: AtomicBool,
    /// The lease was renewed, or could not be.
    is_checked: AtomicBool,
    /// The first renewal of the lease has succeeded.
    is_leased: watch::Sender<bool>,
    /// The node leaves: its lease is not renewed.
    has_left: AtomicBool,
    ready: watch::Sender<bool>,
}

impl Node {
    /// Starts a node; its tasks end when it is dropped.
    pub fn start(name: &Arc<str>, state: &Arc<SharedState>, local: Weak<dyn LocalNode>) -> Arc<Node> {
        let instance = fastrand::u64(1..);
        let node = Arc::new(Node {
            name: name.clone(),
            instance,
            state: state.clone(),
            local,
            publisher: Publisher::start(state),
            all: state.channel(AREA, "all").into(),
            requests: Requests::default(),
            takes: PendingTakes::default(),
            responses: Arc::default(),
            peers: Mutex::default(),
            last_number: AtomicU64::new(0),
            is_up: AtomicBool::new(false),
            is_checked: AtomicBool::new(false),
            is_leased: watch::Sender::new(false),
            has_left: AtomicBool::new(false),
            ready: watch::Sender::new(false),
        });
        let all = state.subscribe(&node.all, RECEIVE_CAPACITY);
        let own = state.subscribe(&node.channel_of(name, instance), RECEIVE_CAPACITY);
        state.spawn(receive(Arc::downgrade(&node), all, own));
        state.spawn(keep_lease(Arc::downgrade(&node)));
        node
    }

    fn channel_of(&self, node: &str, instance: u64) -> Arc<str> {
        self.state.channel(AREA, &format!("node:{node}:{instance}")).into()
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn envelope(&self, service: &str, hub: &str, request_id: u64, body: Body) -> Envelope {
        Envelope {
            node: self.name.to_string(),
            instance: self.instance,
            sent_at_us: unix_us(),
            request_id,
            service: service.to_owned(),
            hub: hub.to_owned(),
            body: Some(body),
        }
    }

    fn send_to_all(&self, envelope: &Envelope) -> Accepted {
        self.publisher.publish(&self.all, envelope.encode_to_vec())
    }

    fn begin_request(&self) -> Request {
        self.requests.begin(self.peers().names().map(Into::into).collect())
    }

    /// A message of the channel of all nodes, or of the own one.
    fn receive(&self, payload: Bytes) {
        let Ok(envelope) = Envelope::decode(payload) else { return };
        let Envelope { node, instance, sent_at_us, request_id, service, hub, body } = envelope;
        let Some(local) = self.local.upgrade() else { return };
        if (&*node, instance) == (&*self.name, self.instance) {
            if let Some(Body::Take(_)) = body {
                self.takes.set_echoed(request_id);
            }
            return;
        }
        local.count_received(unix_us().saturating_sub(sent_at_us));
        match body {
            Some(Body::Operation(operation)) => {
                let Some(operation) = from_wire(operation).map(Arc::new) else { return };
                self.takes.receive(&service, &hub, &operation);
                if request_id == 0 {
                    return local.apply(&service, &hub, &operation);
                }
                let executed = local.execute_here(&service, &hub, &operation);
                let outcome = async move { outcome_to_wire(executed.await.unwrap_or_default()) };
                self.respond(node, instance, request_id, outcome);
            }
            Some(Body::Take(take)) => {
                let given = local.give(&service, &hub, take);
                let outcome = async move { WireOutcome { session: given.await, ..WireOutcome::default() } };
                self.respond(node, instance, request_id, outcome);
            }
            Some(Body::Hello(_)) => {
                self.peers().add(&node, instance);
                self.respond(node, instance, request_id, async { WireOutcome::default() });
            }
            Some(Body::Goodbye(_)) => {
                self.peers().remove(&node);
                self.requests.forget(&node);
            }
            Some(Body::Reply(outcome)) => self.requests.respond(request_id, &node, outcome),
            None => {}
        }
    }

    /// Sends the response to a request once it is known.
    fn respond(
        &self,
        node: String,
        instance: u64,
        request_id: u64,
        outcome: impl Future<Output = WireOutcome> + Send + 'static,
    ) {
        let channel = self.channel_of(&node, instance);
        let (publisher, response) = (self.publisher.clone(), self.responses.clone());
        let envelope = self.envelope("", "", request_id, Body::Reply(WireOutcome::default()));
        self.state.spawn(async move {
            let envelope = Envelope { body: Some(Body::Reply(outcome.await)), ..envelope };
            let _ = publisher.publish(&channel, envelope.encode_to_vec()).await;
            drop(response);
        });
    }

    /// Waits until all responses are sent: one may have the last session of this node.
    async fn wait_responses_sent(&self) {
        let until = Instant::now() + REQUEST_TIMEOUT;
        while Arc::strong_count(&self.responses) > 1 && Instant::now() < until {
            tokio::time::sleep(RESPONSE_CHECK_INTERVAL).await;
        }
    }

    /// Both subscriptions are active, and so is the lease: the other nodes wait for this one from now on.
    async fn announce(&self) {
        let request = self.begin_request();
        let envelope = self.envelope("", "", request.id, Body::Hello(Empty {}));
        let is_sent = self.send_to_all(&envelope).await.unwrap_or(false);
        if is_sent {
            let _ = self.requests.wait(request).await;
        }
        self.ready.send_replace(true);
    }

    fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Relaxed);
        self.is_checked.store(true, Relaxed);
        if let Some(local) = self.local.upgrade() {
            local.set_up(is_up);
        }
    }
}

/// Receives the messages of other nodes until the node is dropped.
async fn receive(node: Weak<Node>, mut all: Subscription, mut own: Subscription) {
    let mut subscribed = [0_u32; 2];
    loop {
        let (at, notice) = tokio::select! {
            // A node that leaves has responded before: its responses first.
            biased;
            notice = own.recv() => (1, notice),
            notice = all.recv() => (0, notice),
        };
        let (Some(notice), Some(node)) = (notice, node.upgrade()) else { return };
        match notice {
            Notice::Message { payload, .. } => {
                let _response = node.responses.clone();
                node.receive(payload);
            }
            Notice::Subscribed => {
                subscribed[at] += 1;
                let is_first = subscribed[at] == 1;
                if !is_first && let Some(local) = node.local.upgrade() {
                    local.handle_gap();
                }
                if is_first && subscribed.iter().all(|count| *count > 0) {
                    node.state.spawn(announce(Arc::downgrade(&node), node.is_leased.subscribe()));
                }
            }
        }
    }
}

/// Announces the node once its lease, and with it the list of the other nodes, is known.
async fn announce(node: Weak<Node>, mut is_leased: watch::Receiver<bool>) {
    if is_leased.wait_for(|is_leased| *is_leased).await.is_ok()
        && let Some(node) = node.upgrade()
    {
        node.announce().await;
    }
}

/// Renews the lease until the node is dropped or leaves.
async fn keep_lease(node: Weak<Node>) {
    let started_at = Instant::now();
    loop {
        let Some(node) = node.upgrade().filter(|node| !node.has_left.load(Relaxed)) else { return };
        let renewed = lease::renew(&node.state, &node.name, node.instance).await;
        let delay = match renewed {
            Ok(listed) => {
                let gone = node.peers().update(&node.name, &listed);
                gone.iter().for_each(|name| node.requests.forget(name));
                node.set_up(true);
                node.is_leased.send_replace(true);
                RENEWAL_INTERVAL
            }
            Err(_) => {
                // The connection may not be open yet.
                if started_at.elapsed() > CONNECT_TIMEOUT {
                    node.set_up(false);
                }
                RETRY_INTERVAL
            }
        };
        drop(node);
        tokio::time::sleep(delay).await;
    }
}

impl Backplane for Arc<Node> {
    fn next_id(&self) -> (u64, u64) {
        (self.instance, self.last_number.fetch_add(1, Relaxed) + 1)
    }

    fn apply(&self, service: &str, hub: &str, operation: &Arc<Operation>) {
        self.takes.order().apply(service, hub, operation);
    }

    fn publish(&self, service: &str, hub: &str, operation: &Arc<Operation>) -> NodeFuture<bool> {
        let envelope = self.envelope(service, hub, 0, Body::Operation(to_wire(operation)));
        let mut order = self.takes.order();
        order.send(operation);
        let accepted = self.send_to_all(&envelope);
        drop(order);
        Box::pin(async move { accepted.await.unwrap_or(false) })
    }

    fn request(&self, service: &str, hub: &str, operation: &Arc<Operation>) -> OperationFuture {
        let request = self.begin_request();
        let envelope = self.envelope(service, hub, request.id, Body::Operation(to_wire(operation)));
        let mut order = self.takes.order();
        order.send(operation);
        let accepted = self.send_to_all(&envelope);
        drop(order);
        let node = self.clone();
        Box::pin(async move {
            if !accepted.await.unwrap_or(false) {
                node.requests.cancel(request.id);
                return Err(BackplaneUnavailable { nodes: Vec::new() });
            }
            node.requests.wait(request).await.map(|responses| responses.outcome)
        })
    }

    fn take(
        &self,
        service: &str,
        hub: &str,
        take: Take,
    ) -> NodeFuture<Result<Option<TakenSession>, BackplaneUnavailable>> {
        let request = self.begin_request();
        let id = request.id;
        let envelope = self.envelope(service, hub, id, Body::Take(take));
        let mut order = self.takes.order();
        let echoed = order.begin(id, service, hub);
        let accepted = self.send_to_all(&envelope);
        drop(order);
        let late = LateMessages { node: self.clone(), request_id: id };
        Box::pin(async move {
            if !accepted.await.unwrap_or(false) {
                return Err(BackplaneUnavailable { nodes: Vec::new() });
            }
            let responses = late.node.requests.wait(request).await?;
            // Messages before the request are in the session already: it must not be a member here until they have passed.
            let _ = tokio::time::timeout(REQUEST_TIMEOUT, echoed).await;
            Ok(responses.session.map(|session| TakenSession { session, late: Box::new(late) }))
        })
    }

    fn leave(&self) -> NodeFuture<()> {
        self.has_left.store(true, Relaxed);
        let node = self.clone();
        Box::pin(async move {
            node.wait_responses_sent().await;
            let _ = lease::release(&node.state, &node.name, node.instance).await;
            let goodbye = node.envelope("", "", 0, Body::Goodbye(Empty {}));
            let _ = node.send_to_all(&goodbye).await;
        })
    }

    fn wait_ready(&self) -> NodeFuture<()> {
        if self.is_checked.load(Relaxed) && !self.is_up.load(Relaxed) {
            // An outage: the node serves its own clients.
            return Box::pin(async {});
        }
        let mut ready = self.ready.subscribe();
        Box::pin(async move {
            let _ = tokio::time::timeout(REQUEST_TIMEOUT, ready.wait_for(|ready| *ready)).await;
        })
    }

    fn state(&self) -> BackplaneState {
        let mut nodes: Vec<String> = self.peers().names().map(str::to_owned).collect();
        nodes.push(self.name.to_string());
        nodes.sort_unstable();
        BackplaneState { is_up: self.is_up.load(Relaxed), nodes }
    }
}

/// The operations that arrive while a session is on its way to this node.
#[derive(Debug)]
struct LateMessages {
    node: Arc<Node>,
    request_id: u64,
}

impl LateOperations for LateMessages {
    fn end(self: Box<Self>) -> Option<Vec<Arc<Operation>>> {
        self.node.takes.end(self.request_id)
    }
}

impl Drop for LateMessages {
    fn drop(&mut self) {
        self.node.requests.cancel(self.request_id);
        let _ = self.node.takes.end(self.request_id);
    }
}

fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
