//! Both connections of a bridge, over pipes in memory.

use super::{super::bridge::BridgeRequest, *};
use crate::{
    net::{
        agents::registry::AgentRegistry,
        websocket::{WebSocketRole, WebSocketStream},
    },
    telemetry::Metrics,
};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A bridge that waits for its connections.
struct Lab {
    hub: Arc<DeviceHub>,
    bridge: Arc<Bridge>,
}

impl Lab {
    fn new() -> Lab {
        let hub = DeviceHub::new(AgentRegistry::new(Metrics::new(1)));
        let request = BridgeRequest {
            device: "dev1".into(),
            name: "echo".into(),
            connector: "policy:service".to_owned(),
            client: "192.0.2.1:1".parse().unwrap(),
        };
        let bridge = Bridge::new(request, Instant::now() + TIMEOUT, None).unwrap();
        hub.add_bridge(&bridge);
        Lab { hub, bridge }
    }

    /// The peer of a connection of this side.
    fn connect(&self, side: BridgeSide) -> WebSocketStream<DuplexStream> {
        let (own, peer) = duplex(64 * 1024);
        let own: Box<dyn crate::pipeline::upgrade::UpgradedIo> = Box::new(own);
        let own = WebSocketStream::new(own, WebSocketRole::Server);
        tokio::spawn(join(self.hub.clone(), self.bridge.clone(), side, own));
        WebSocketStream::new(peer, WebSocketRole::Client)
    }
}

/// What the peer receives until the close frame, and its status.
async fn read_to_close(peer: &mut WebSocketStream<DuplexStream>) -> (Vec<u8>, Option<u16>) {
    let mut received = Vec::new();
    let read = tokio::time::timeout(TIMEOUT, peer.read_to_end(&mut received)).await;
    read.expect("the connection ends").expect("with a close frame");
    (received, peer.close_code())
}

#[tokio::test]
async fn the_second_connection_is_closed_with_a_status_when_the_first_has_ended() {
    let lab = Lab::new();
    let mut device = lab.connect(BridgeSide::Device);
    tokio::task::yield_now().await;
    lab.bridge.shut_down();
    assert_eq!(read_to_close(&mut device).await.1, Some(close_code::GOING_AWAY));
    assert!(lab.hub.bridge(&lab.bridge.id).is_none(), "no further connection is admitted");
    let mut service = lab.connect(BridgeSide::Service);
    assert_eq!(read_to_close(&mut service).await.1, Some(close_code::GOING_AWAY));
}

#[tokio::test]
async fn bytes_that_were_sent_before_a_close_frame_arrive_from_both_sides() {
    let lab = Lab::new();
    let (mut service, mut device) = (lab.connect(BridgeSide::Service), lab.connect(BridgeSide::Device));
    service.write_all(b"request").await.unwrap();
    service.queue_close(close_code::NORMAL);
    service.flush().await.unwrap();
    assert_eq!(read_to_close(&mut device).await, (b"request".to_vec(), Some(close_code::NORMAL)));
    device.write_all(b"response").await.unwrap();
    device.queue_close(close_code::NORMAL);
    device.flush().await.unwrap();
    assert_eq!(read_to_close(&mut service).await, (b"response".to_vec(), Some(close_code::NORMAL)));
}
