//! Connectors and a device that is connected over MQTT, in memory.

use super::{super::hub::DeviceSession, *};
use crate::{
    net::{
        agents::{
            access::{Proof, Requester},
            config::{
                AgentConfig, ConnectRule, DeviceStreamsConfig, StreamLogFormat, TunnelLimits, TunnelsConfig,
            },
            registry::AgentRegistry,
        },
        devices::{bridge::BridgeSide, names::STREAM_FILTER},
        mqtt::{Packet, decode},
    },
    telemetry::Metrics,
};
use std::time::Instant;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

const TIMEOUT: Duration = Duration::from_secs(5);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(300);

/// A hub with an entry for the device `dev1`, which is not connected.
fn hub() -> Arc<DeviceHub> {
    let agent = AgentConfig {
        name: "dev1".into(),
        is_pattern: false,
        keys: Vec::new(),
        certificates: Vec::new(),
        subjects: vec!["ann".into()],
        is_enabled: true,
        services: None,
        connect: vec![ConnectRule::Anyone],
        instances: 1,
        limits: TunnelLimits::default(),
    };
    let streams = DeviceStreamsConfig {
        host_names: vec!["hub.test".into()],
        public_url: "ws://hub.test".into(),
        connect_timeout: TIMEOUT,
        response_timeout: TIMEOUT,
        handshake_timeout: HANDSHAKE_TIMEOUT,
        log_format: StreamLogFormat::Own,
    };
    let registry = AgentRegistry::new(Metrics::new(1));
    let limits = TunnelLimits::default();
    registry.reconfigure(&Arc::new(TunnelsConfig::new(Vec::new(), vec![agent], limits, Some(streams))));
    DeviceHub::new(registry)
}

/// The MQTT connection of a device.
struct Device {
    hub: Arc<DeviceHub>,
    session: Arc<DeviceSession>,
    packets: mpsc::Receiver<Vec<u8>>,
}

impl Device {
    fn connect(hub: &Arc<DeviceHub>) -> Device {
        let (outgoing, packets) = mpsc::channel(8);
        let session = DeviceSession::new("dev1", Proof::Subject("ann".into()), outgoing);
        hub.add(&session);
        hub.accept_streams(&session, true);
        Device { hub: hub.clone(), session, packets }
    }

    /// Answers the next request, and connects to its bridge.
    async fn answer(&mut self, accepts: bool, connects: bool) -> Option<WebSocketStream<DuplexStream>> {
        let packet = tokio::time::timeout(TIMEOUT, self.packets.recv()).await.unwrap().unwrap();
        let Some((Packet::Publish { topic, .. }, _)) = decode(&packet, 10_000).unwrap() else {
            panic!("a request is a PUBLISH")
        };
        assert!(topic.starts_with(STREAM_FILTER.trim_end_matches('#')), "{topic}");
        let value = |name: &str| topic.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)).unwrap();
        self.session.answer(u32::from_str_radix(value("$rid="), 16).unwrap(), accepts);
        if !connects {
            return None;
        }
        let id = value("$url=").rsplit("%2F").next().unwrap();
        let (bridge, side) = join::admit(&self.hub, id, value("$auth=")).unwrap();
        assert_eq!(side, BridgeSide::Device);
        let (own, device) = tokio::io::duplex(BUFFER_BYTES);
        let own: Box<dyn UpgradedIo> = Box::new(own);
        let socket = WebSocketStream::new(own, WebSocketRole::Server);
        tokio::spawn(join::join(self.hub.clone(), bridge, side, socket));
        Some(WebSocketStream::new(device, WebSocketRole::Client))
    }
}

fn request() -> StreamRequest<'static> {
    StreamRequest {
        agent: "dev1",
        service: "echo",
        requester: &Requester::Anonymous,
        client: None,
        timeout: TIMEOUT,
    }
}

async fn opened(hub: &Arc<DeviceHub>) -> (Box<dyn UpgradedIo>, WebSocketStream<DuplexStream>) {
    let mut device = Device::connect(hub);
    let (stream, device) = tokio::join!(open(hub, request()), device.answer(true, true));
    (stream.unwrap(), device.unwrap())
}

#[tokio::test]
async fn a_device_that_is_not_connected_is_an_error_at_once_with_a_connect_timeout_of_zero() {
    let hub = hub();
    let started_at = Instant::now();
    let requested = DeviceRequest {
        device: "dev1",
        module: None,
        name: "echo",
        requester: Requester::Anonymous,
        client: "192.0.2.1:1".parse().unwrap(),
        connect_timeout: Duration::ZERO,
        response_timeout: TIMEOUT,
    };
    assert_eq!(hub.request(&requested).await, Err(DeviceError::NotOnline));
    assert!(!hub.is_listening("dev1"));
    assert_eq!(open(&hub, request()).await.unwrap_err(), AgentError::Offline);
    assert!(started_at.elapsed() < TIMEOUT / 2, "nothing waits");
    let patient = DeviceRequest { connect_timeout: TIMEOUT, ..requested };
    let connect = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Device::connect(&hub).answer(false, false).await
    };
    let (refused, _) = tokio::join!(hub.request(&patient), connect);
    assert_eq!(refused, Ok(None), "it was asked after it had connected");
}

#[tokio::test]
async fn bytes_pass_in_both_directions_until_each_side_has_ended() {
    let hub = hub();
    let (mut stream, mut device) = opened(&hub).await;
    stream.write_all(b"request").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut received = Vec::new();
    device.read_to_end(&mut received).await.unwrap();
    device.write_all(b"response").await.unwrap();
    device.shutdown().await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    assert_eq!((&received[..], &response[..]), (&b"request"[..], &b"response"[..]));
    assert_eq!(device.close_code(), Some(close_code::NORMAL));
}

#[tokio::test]
async fn a_lost_device_is_a_reset_and_a_lost_connector_a_close_frame_with_1011() {
    let hub = hub();
    let (mut stream, mut device) = opened(&hub).await;
    device.write_all(b"some").await.unwrap();
    drop(device);
    let mut received = Vec::new();
    let error = stream.read_to_end(&mut received).await.unwrap_err();
    assert_eq!((&received[..], error.kind()), (&b"some"[..], io::ErrorKind::ConnectionReset));
    let (stream, mut device) = opened(&hub).await;
    drop(stream);
    assert_eq!(device.read_to_end(&mut received).await.unwrap(), 0);
    assert_eq!(device.close_code(), Some(close_code::INTERNAL_ERROR));
}

#[tokio::test]
async fn a_revoked_device_resets_the_stream() {
    let hub = hub();
    let (mut stream, _device) = opened(&hub).await;
    hub.registry.reconfigure(&Arc::new(TunnelsConfig::default()));
    hub.revoke();
    let error = tokio::time::timeout(TIMEOUT, stream.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_device_that_refuses_or_does_not_connect_is_an_error() {
    let hub = hub();
    let mut device = Device::connect(&hub);
    let (refused, _) = tokio::join!(open(&hub, request()), device.answer(false, false));
    assert!(matches!(refused, Err(AgentError::Connect(_))), "{refused:?}");
    let (absent, _) = tokio::join!(open(&hub, request()), device.answer(true, false));
    assert_eq!(absent.unwrap_err(), AgentError::ConnectTimeout);
    let removed = async {
        while hub.bridge_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, removed).await.expect("the bridge is removed");
}
