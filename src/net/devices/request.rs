//! The request of a service application for a stream: to a device over MQTT, or to an agent.

use super::{
    bridge::{Bridge, BridgeRequest},
    hub::{DeviceHub, DeviceSession},
    names::{DeviceError, is_stream_name, request_topic},
};
use crate::{
    net::{
        agents::{
            access::Requester,
            config::{AgentConfig, DeviceStreamsConfig},
            error::AgentError,
            open::StreamRequest,
            usage::AgentUsage,
        },
        mqtt::publish,
    },
    telemetry::agents::{AgentMetrics, DeviceHandshake},
};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

/// What is requested.
#[derive(Clone, Debug)]
pub struct DeviceRequest<'r> {
    pub device: &'r str,
    pub module: Option<&'r str>,
    pub name: &'r str,
    /// The policy of the token.
    pub requester: Requester,
    pub client: SocketAddr,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
}

impl DeviceRequest<'_> {
    fn bridge(&self) -> BridgeRequest {
        BridgeRequest {
            device: self.device.into(),
            name: self.name.into(),
            connector: self.requester.label(),
            client: self.client,
        }
    }
}

/// Where the service application connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedStream {
    pub url: String,
    pub token: String,
}

/// Counts a request whose caller gives up.
struct CancelGuard<'r>(Option<&'r AgentMetrics>);

impl CancelGuard<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelGuard<'_> {
    fn drop(&mut self) {
        if let Some(metrics) = self.0 {
            metrics.count_handshake(DeviceHandshake::Canceled);
        }
    }
}

/// Withdraws a request that is dropped before its answer.
struct OpenRequest<'r> {
    hub: &'r DeviceHub,
    session: &'r DeviceSession,
    rid: u32,
    bridge: Option<Arc<Bridge>>,
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.session.end_request(self.rid);
        if let Some(bridge) = &self.bridge {
            self.hub.remove_bridge(&bridge.id);
        }
    }
}

/// A slot among the open requests of a device.
struct PendingGuard(Arc<AgentUsage>);

impl Drop for PendingGuard {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

impl DeviceHub {
    /// Requests a stream; `None`: the device refused it. Dropping the future withdraws the request.
    pub async fn request(
        self: &Arc<Self>,
        request: &DeviceRequest<'_>,
    ) -> Result<Option<AcceptedStream>, DeviceError> {
        let metrics = self.registry.metrics();
        let canceled = CancelGuard(Some(metrics));
        let outcome = self.request_stream(request).await;
        canceled.disarm();
        metrics.count_handshake(match &outcome {
            Ok(Some(_)) => DeviceHandshake::Accepted,
            Ok(None) => DeviceHandshake::Rejected,
            Err(DeviceError::NotFound) => DeviceHandshake::Unknown,
            Err(DeviceError::NotOnline) => DeviceHandshake::Offline,
            Err(DeviceError::Timeout) => DeviceHandshake::Timeout,
            Err(DeviceError::Disabled) => DeviceHandshake::Disabled,
            Err(DeviceError::Throttled) => DeviceHandshake::Throttled,
            Err(DeviceError::Unauthorized) => DeviceHandshake::Unauthorized,
            Err(DeviceError::Invalid(_)) => DeviceHandshake::Invalid,
        });
        outcome
    }

    async fn request_stream(
        self: &Arc<Self>,
        request: &DeviceRequest<'_>,
    ) -> Result<Option<AcceptedStream>, DeviceError> {
        if !is_stream_name(request.name) {
            return Err(DeviceError::Invalid("a name has 1 to 128 letters, digits and ._~-"));
        }
        let (config, settings) = self.settings().ok_or(DeviceError::NotFound)?;
        let agent = config.agent(request.device).ok_or(DeviceError::NotFound)?;
        if !agent.is_enabled {
            return Err(DeviceError::Disabled);
        }
        if !request.requester.is_allowed(agent) {
            return Err(DeviceError::Unauthorized);
        }
        let _pending = self.check_limits(request.device, agent, config.limits.max_streams)?;
        let client_id = match request.module {
            Some(module) => format!("{}/{module}", request.device),
            None => request.device.to_owned(),
        };
        self.wait_online(&client_id, request.connect_timeout).await;
        match self.listening(&client_id) {
            Some(session) => self.request_device(request, &settings, &session).await,
            None if self.registry.is_connected(request.device) => {
                self.request_agent(request, &settings).await
            }
            None => Err(DeviceError::NotOnline),
        }
    }

    fn check_limits(
        &self,
        device: &str,
        agent: &AgentConfig,
        max_streams: usize,
    ) -> Result<PendingGuard, DeviceError> {
        let usage = self.usage(device);
        let is_full = self.bridge_count() >= max_streams
            || usage.streams.load(Relaxed) >= agent.limits.max_streams_per_agent;
        if is_full || !usage.try_begin(agent.limits.new_streams_per_second, Instant::now()) {
            return Err(DeviceError::Throttled);
        }
        usage.streams.fetch_add(1, Relaxed);
        Ok(PendingGuard(usage))
    }

    async fn request_device(
        self: &Arc<Self>,
        request: &DeviceRequest<'_>,
        settings: &DeviceStreamsConfig,
        session: &DeviceSession,
    ) -> Result<Option<AcceptedStream>, DeviceError> {
        let (rid, answer) = session.begin_request().ok_or(DeviceError::Throttled)?;
        let deadline = Instant::now() + settings.handshake_timeout;
        // The bridge ends at its deadline, so a later answer has no use.
        let timeout = request.response_timeout.min(settings.handshake_timeout);
        let bridge = Bridge::new(request.bridge(), deadline, None).ok_or(DeviceError::Throttled)?;
        // The bridge exists before the request is sent: some devices connect before they answer.
        self.add_bridge(&bridge);
        let mut open = OpenRequest { hub: self, session, rid, bridge: Some(bridge.clone()) };
        let url = format!("{}/bridges/{}", settings.public_url, bridge.id);
        if !session.send(publish(&request_topic(request.name, rid, &url, &bridge.device_token))) {
            return Err(DeviceError::NotOnline);
        }
        match tokio::time::timeout(timeout, answer).await {
            Err(_) => Err(DeviceError::Timeout),
            // The session has ended.
            Ok(Err(_)) => Err(DeviceError::NotOnline),
            Ok(Ok(false)) => Ok(None),
            Ok(Ok(true)) => {
                open.bridge = None;
                Ok(Some(AcceptedStream { url, token: bridge.service_token.clone() }))
            }
        }
    }

    /// The name is a service of the agent: accepted as soon as its stream is open.
    async fn request_agent(
        self: &Arc<Self>,
        request: &DeviceRequest<'_>,
        settings: &DeviceStreamsConfig,
    ) -> Result<Option<AcceptedStream>, DeviceError> {
        let stream = StreamRequest {
            agent: request.device,
            service: request.name,
            requester: &request.requester,
            client: Some(request.client),
            timeout: request.response_timeout,
        };
        let stream = match self.registry.open(stream).await {
            Ok(stream) => stream,
            Err(AgentError::Offline | AgentError::Lost) => return Err(DeviceError::NotOnline),
            Err(AgentError::StreamLimit) => return Err(DeviceError::Throttled),
            Err(AgentError::ConnectTimeout) => return Err(DeviceError::Timeout),
            Err(_) => return Ok(None),
        };
        let deadline = Instant::now() + settings.handshake_timeout;
        let bridge = Bridge::new(request.bridge(), deadline, Some(stream));
        let bridge = bridge.ok_or(DeviceError::Throttled)?;
        self.add_bridge(&bridge);
        let url = format!("{}/bridges/{}", settings.public_url, bridge.id);
        Ok(Some(AcceptedStream { url, token: bridge.service_token.clone() }))
    }
}
