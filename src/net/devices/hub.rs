//! The devices that are connected over MQTT, and the bridges of their streams.

use super::{bridge::Bridge, names::split_client_id};
use crate::net::agents::{
    access::{Proof, admit_agent},
    config::{DeviceStreamsConfig, TunnelsConfig},
    registry::AgentRegistry,
    usage::AgentUsage,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{Notify, mpsc, oneshot};

/// Most packets that wait for a slow device.
pub const MAX_OUTGOING: usize = 64;
/// Most open requests for streams of one device.
const MAX_OPEN_REQUESTS: usize = 256;
/// A request id has at most five hexadecimal digits.
const MAX_RID: u32 = 0xf_ffff;

/// The MQTT session of a device.
#[derive(Debug)]
pub struct DeviceSession {
    pub client_id: Box<str>,
    proof: Proof,
    outgoing: mpsc::Sender<Vec<u8>>,
    accepts_streams: AtomicBool,
    requests: Mutex<HashMap<u32, oneshot::Sender<bool>>>,
    is_ended: AtomicBool,
    end: Notify,
}

/// All devices of the process.
#[derive(Debug)]
pub struct DeviceHub {
    pub registry: Arc<AgentRegistry>,
    sessions: Mutex<HashMap<Box<str>, Arc<DeviceSession>>>,
    /// Notified when a device connects or subscribes.
    changed: Notify,
    bridges: Mutex<HashMap<Box<str>, Arc<Bridge>>>,
    usage: Mutex<HashMap<Box<str>, Arc<AgentUsage>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DeviceSession {
    /// A session whose packets go to `outgoing`.
    pub fn new(client_id: &str, proof: Proof, outgoing: mpsc::Sender<Vec<u8>>) -> Arc<DeviceSession> {
        Arc::new(DeviceSession {
            client_id: client_id.into(),
            proof,
            outgoing,
            accepts_streams: AtomicBool::new(false),
            requests: Mutex::default(),
            is_ended: AtomicBool::new(false),
            end: Notify::new(),
        })
    }

    /// Ends the session; its connection is closed.
    pub fn end(&self) {
        self.is_ended.store(true, Relaxed);
        self.end.notify_one();
    }

    /// Waits until the end is requested.
    pub async fn ended(&self) {
        while !self.is_ended.load(Relaxed) {
            self.end.notified().await;
        }
    }

    /// Sends a packet; false if the device does not read.
    pub fn send(&self, packet: Vec<u8>) -> bool {
        self.outgoing.try_send(packet).is_ok()
    }

    /// A free request id, and the answer for it.
    pub fn begin_request(&self) -> Option<(u32, oneshot::Receiver<bool>)> {
        let mut requests = lock(&self.requests);
        if requests.len() >= MAX_OPEN_REQUESTS {
            return None;
        }
        let rid = loop {
            let rid = fastrand::u32(1..=MAX_RID);
            if !requests.contains_key(&rid) {
                break rid;
            }
        };
        let (sender, receiver) = oneshot::channel();
        requests.insert(rid, sender);
        Some((rid, receiver))
    }

    /// Forgets a request.
    pub fn end_request(&self, rid: u32) {
        lock(&self.requests).remove(&rid);
    }

    /// The answer of the device; one without an open request has no effect.
    pub fn answer(&self, rid: u32, is_accepted: bool) {
        if let Some(sender) = lock(&self.requests).remove(&rid) {
            let _ = sender.send(is_accepted);
        }
    }
}

impl DeviceHub {
    /// A hub without devices.
    pub fn new(registry: Arc<AgentRegistry>) -> Arc<DeviceHub> {
        Arc::new(DeviceHub {
            registry,
            sessions: Mutex::default(),
            changed: Notify::new(),
            bridges: Mutex::default(),
            usage: Mutex::default(),
        })
    }

    /// The settings of device streams, if there are any.
    pub fn settings(&self) -> Option<(Arc<TunnelsConfig>, DeviceStreamsConfig)> {
        let config = self.registry.config();
        let streams = config.device_streams.clone()?;
        Some((config, streams))
    }

    /// Adds a session; the older one with the same client id ends.
    pub fn add(&self, session: &Arc<DeviceSession>) {
        let older = lock(&self.sessions).insert(session.client_id.clone(), session.clone());
        if let Some(older) = older {
            older.end();
        }
        self.registry.metrics().device_connections.fetch_add(1, Relaxed);
        self.changed.notify_waiters();
    }

    /// Removes a session that has ended.
    pub fn remove(&self, session: &Arc<DeviceSession>) {
        let mut sessions = lock(&self.sessions);
        if sessions.get(&session.client_id).is_some_and(|known| Arc::ptr_eq(known, session)) {
            sessions.remove(&session.client_id);
        }
        drop(sessions);
        self.registry.metrics().device_connections.fetch_sub(1, Relaxed);
    }

    /// The device has subscribed to requests for streams.
    pub fn accept_streams(&self, session: &DeviceSession, accepts: bool) {
        session.accepts_streams.store(accepts, Relaxed);
        self.changed.notify_waiters();
    }

    /// The session of a device that accepts streams.
    pub fn listening(&self, client_id: &str) -> Option<Arc<DeviceSession>> {
        let session = lock(&self.sessions).get(client_id).cloned();
        session.filter(|session| session.accepts_streams.load(Relaxed) && !session.is_ended.load(Relaxed))
    }

    /// Waits until the device accepts streams, or its own agent is connected.
    pub async fn wait_online(&self, client_id: &str, timeout: Duration) {
        let is_online = || self.listening(client_id).is_some() || self.registry.is_connected(client_id);
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if is_online() {
                    return;
                }
                tokio::select! {
                    () = changed => {}
                    // Agents have a notification of their own.
                    _ = self.registry.wait_connected(client_id, timeout) => {}
                }
            }
        };
        if !is_online() && !timeout.is_zero() {
            let _ = tokio::time::timeout(timeout, wait).await;
        }
    }

    /// What a device uses of its limits. Devices that are gone are forgotten when there are many.
    pub fn usage(&self, device: &str) -> Arc<AgentUsage> {
        let mut usage = lock(&self.usage);
        if usage.len() > self.registry.config().limits.max_agents {
            usage.retain(|_, known| Arc::strong_count(known) > 1);
        }
        usage.entry(device.into()).or_default().clone()
    }

    /// Adds a bridge. It is removed at its deadline, unless its sides have arrived.
    pub fn add_bridge(self: &Arc<Self>, bridge: &Arc<Bridge>) {
        lock(&self.bridges).insert(bridge.id.as_str().into(), bridge.clone());
        self.registry.metrics().bridges.fetch_add(1, Relaxed);
        let (hub, bridge) = (self.clone(), bridge.clone());
        drop(tokio::spawn(async move {
            tokio::time::sleep_until(bridge.deadline.into()).await;
            if !bridge.is_joined() {
                hub.remove_bridge(&bridge.id);
            }
        }));
    }

    /// Removes a bridge.
    pub fn remove_bridge(&self, id: &str) {
        if lock(&self.bridges).remove(id).is_some() {
            self.registry.metrics().bridges.fetch_sub(1, Relaxed);
        }
    }

    /// The bridge with this id.
    pub fn bridge(&self, id: &str) -> Option<Arc<Bridge>> {
        lock(&self.bridges).get(id).cloned()
    }

    /// The number of bridges.
    pub fn bridge_count(&self) -> usize {
        lock(&self.bridges).len()
    }

    /// Ends the sessions and the bridges of devices that the settings do not admit any more.
    pub fn revoke(&self) {
        let config = self.registry.config();
        let names: Vec<Box<str>> =
            config.device_streams.iter().flat_map(|streams| streams.host_names.clone()).collect();
        let hosts: Vec<&str> = names.iter().map(|name| &**name).collect();
        let sessions: Vec<_> = lock(&self.sessions).values().cloned().collect();
        for session in sessions {
            let client = split_client_id(&session.client_id);
            if admit_agent(&config, client, std::slice::from_ref(&session.proof), &hosts).is_err() {
                session.end();
                self.end_bridges(client.0);
            }
        }
        let bridges: Vec<_> = lock(&self.bridges).values().cloned().collect();
        for bridge in bridges {
            if config.agent(&bridge.request.device).is_none_or(|agent| !agent.is_enabled) {
                bridge.revoke();
            }
        }
    }

    fn end_bridges(&self, device: &str) {
        let bridges: Vec<_> = lock(&self.bridges)
            .values()
            .filter(|bridge| *bridge.request.device == *device)
            .cloned()
            .collect();
        bridges.iter().for_each(|bridge| bridge.revoke());
    }

    /// Ends everything because the gateway shuts down.
    pub fn begin_drain(&self) {
        let sessions: Vec<_> = lock(&self.sessions).values().cloned().collect();
        sessions.iter().for_each(|session| session.end());
        let bridges: Vec<_> = lock(&self.bridges).values().cloned().collect();
        bridges.iter().for_each(|bridge| bridge.shut_down());
    }
}
