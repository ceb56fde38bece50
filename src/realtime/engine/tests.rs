//! Tests of the engine with clients in memory.

use super::{
    hub::RegistrationError,
    scenario::{Scenario, TestClient},
    *,
};
use crate::realtime::{
    config::{HubConfig, HubLimits},
    operation::{PermissionAction, Recipients, Selection},
    permissions::PermissionKind,
    protocols::Subprotocol,
    testing::{hub_config, hub_service, service_config},
};

#[tokio::test]
async fn members_of_a_group_receive_a_message_once_and_no_echo_excludes_the_sender() {
    let scenario = Scenario::new(HubLimits::default());
    let mut one = scenario.connect(Subprotocol::Json, &["g"]);
    let mut two = scenario.connect(Subprotocol::Json, &["g"]);
    assert!(one.received().contains(r#""event":"connected","userId":"ann""#));
    one.send(r#"{"type":"sendToGroup","group":"g","noEcho":true,"ackId":1,"dataType":"text","data":"hi"}"#);
    let message =
        r#"{"type":"message","from":"group","group":"g","dataType":"text","data":"hi","fromUserId":"ann"}"#;
    assert_eq!(two.received().matches(message).count(), 1);
    let own = one.received();
    assert!(own.contains(r#"{"type":"ack","ackId":1,"success":true}"#) && !own.contains("\"hi\""), "{own}");
    one.send(r#"{"type":"sendToGroup","group":"g","ackId":1,"dataType":"text","data":"again"}"#);
    assert!(one.received().contains("Message with ack-id: 1 has been processed"));
    assert!(!two.received().contains("again"));
}

#[tokio::test]
async fn permissions_are_checked_and_changed_at_once() {
    let scenario = Scenario::new(HubLimits::default());
    let mut client = scenario.connect(Subprotocol::Json, &[]);
    let permission = |action| Operation::Permission {
        connection: client.connection.id.clone(),
        kind: PermissionKind::SendToGroup,
        group: None,
        action,
    };
    let (check, revoke) = (permission(PermissionAction::Check), permission(PermissionAction::Revoke));
    assert_eq!(scenario.execute(check.clone()).await, 1);
    assert_eq!(scenario.execute(revoke).await, 1);
    assert_eq!(scenario.execute(check).await, 0);
    client.send(r#"{"type":"sendToGroup","group":"g","ackId":1,"dataType":"text","data":"x"}"#);
    assert!(client.received().contains(r#""name":"Forbidden""#));
}

#[tokio::test]
async fn a_reliable_session_survives_its_socket_and_is_recovered_with_its_token_only() {
    let scenario = Scenario::new(HubLimits::default());
    let mut client = scenario.connect(Subprotocol::JsonReliable, &["g"]);
    let hello = client.received();
    let token = hello.split(r#""reconnectionToken":""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
    client.pipe.is_lost = true;
    client.poll();
    assert!(client.is_closed);
    let id = client.connection.id.clone();
    scenario.send(Recipients::Group("g".into()), "missed").await;
    let summary = scenario.hub().summary();
    assert_eq!((summary.connections, summary.sessions), (1, 1));
    let key = Engine::recovery_key(&token).unwrap();
    let hub = scenario.hub();
    assert!(hub.recover(&id, &[7; RECOVERY_KEY_BYTES], Subprotocol::JsonReliable).is_none());
    assert!(hub.recover(&id, &key, Subprotocol::ProtobufReliable).is_none());
    let (connection, epoch) = hub.recover(&id, &key, Subprotocol::JsonReliable).unwrap();
    let mut again = TestClient::new(hub.clone(), connection, epoch);
    let received = again.received();
    assert!(
        received.contains(r#""event":"connected""#) && received.contains(r#"{"sequenceId":1,"#),
        "{received}"
    );
    let (connection, epoch) = hub.recover(&id, &key, Subprotocol::JsonReliable).unwrap();
    let mut newest = TestClient::new(hub, connection, epoch);
    again.poll();
    assert!(again.is_closed && newest.received().contains("missed"), "the new socket replaces the old one");
    newest.send_frame(0x88, &1000_u16.to_be_bytes());
    assert!(newest.is_closed && !scenario.exists(&id).await);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_the_others_receive_everything() {
    let scenario = Scenario::new(HubLimits { max_queued_messages: 10, ..HubLimits::default() });
    let mut slow = scenario.connect(Subprotocol::Json, &["g"]);
    let mut quick = scenario.connect(Subprotocol::Json, &["g"]);
    slow.pipe.is_stalled = true;
    let mut received = String::new();
    for n in 0..30 {
        scenario.send(Recipients::Group("g".into()), &format!("<{n}>")).await;
        slow.poll();
        received += &quick.received();
    }
    assert!((0..30).all(|n| received.contains(&format!("<{n}>"))), "{received}");
    assert!(!scenario.exists(&slow.connection.id).await && scenario.exists(&quick.connection.id).await);
    assert!(scenario.engine.shared.queued_bytes.load(Relaxed) < 1000, "nothing is held for the closed one");
    slow.pipe.is_stalled = false;
    slow.pipe.output.clear();
    assert!(slow.received().contains("SlowClient"));
}

#[tokio::test]
async fn the_longest_queues_are_closed_if_all_queues_exceed_the_memory() {
    let scenario = Scenario::new(HubLimits::default());
    let limits = RealtimeConfig { max_queue_bytes: 1000, ..RealtimeConfig::default() };
    scenario.engine.shared.limits.store(Arc::new(limits));
    let mut clients: Vec<_> = (0..3).map(|_| scenario.connect(Subprotocol::Json, &[])).collect();
    clients.iter_mut().for_each(|client| client.pipe.is_stalled = true);
    let id = |client: &TestClient| client.connection.id.clone();
    scenario.send(Recipients::Connection(id(&clients[0])), &"x".repeat(600)).await;
    scenario.send(Recipients::Connection(id(&clients[1])), &"y".repeat(900)).await;
    assert!(scenario.exists(&id(&clients[0])).await && !scenario.exists(&id(&clients[1])).await);
    assert!(scenario.engine.shared.queued_bytes.load(Relaxed) <= 1000);
}

#[tokio::test]
async fn connections_and_groups_are_limited() {
    let limits = HubLimits { max_connections: Some(2), max_groups_per_connection: 2, ..HubLimits::default() };
    let scenario = Scenario::new(limits);
    let mut first = scenario.connect(Subprotocol::Json, &[]);
    let second = scenario.connect(Subprotocol::Json, &[]);
    assert_eq!(scenario.register(Subprotocol::Json, &[]).unwrap_err(), RegistrationError::HubLimit);
    drop(second);
    assert_eq!(
        scenario.register(Subprotocol::Json, &["a", "b", "c"]).unwrap_err(),
        RegistrationError::TooManyGroups
    );
    for (group, expected) in [("a", "true"), ("b", "true"), ("c", "false"), ("a", "true")] {
        first.send(&format!(r#"{{"type":"joinGroup","group":"{group}","ackId":{}}}"#, fastrand::u32(..)));
        assert!(first.received().contains(&format!(r#""success":{expected}"#)), "{group}");
    }
}

#[tokio::test]
async fn events_are_processed_in_order_invocations_concurrently() {
    let scenario = Scenario::new(HubLimits { max_invocations: 2, ..HubLimits::default() });
    let mut client = scenario.connect(Subprotocol::Json, &[]);
    for (n, data) in ["slow", "quick"].iter().enumerate() {
        client.send(&format!(
            r#"{{"type":"event","event":"e","ackId":{n},"dataType":"text","data":"{data}"}}"#
        ));
    }
    let all = client.wait_received(r#""ackId":1"#).await;
    assert!(all.find("slow").unwrap() < all.find("quick").unwrap(), "{all}");
    for (id, data) in [("a", "slow"), ("b", "quick"), ("c", "quick")] {
        client.send(&format!(
            r#"{{"type":"invoke","invocationId":"{id}","target":"event","event":"e","dataType":"text","data":"{data}"}}"#
        ));
    }
    let all = client.wait_received(r#""invocationId":"a""#).await;
    assert!(all.contains(r#""invocationId":"c","success":false"#), "{all}");
    assert!(all.find(r#""invocationId":"b""#).unwrap() < all.find(r#""invocationId":"a""#).unwrap(), "{all}");
    client.send(r#"{"type":"event","event":"fail","ackId":9,"dataType":"text","data":"x"}"#);
    assert!(client.wait_received(r#""ackId":9"#).await.contains("InternalServerError"));
}

#[tokio::test]
async fn the_events_of_a_connection_are_announced_in_order() {
    let scenario = Scenario::new(HubLimits::default());
    let mut client = scenario.connect(Subprotocol::Json, &["g"]);
    client.poll();
    client.send(r#"{"type":"leaveGroup","group":"g"}"#);
    let reason: Box<str> = "bye".into();
    let whom = Selection::of(Recipients::All);
    assert_eq!(scenario.execute(Operation::Close { whom, reason }).await, 1);
    let all = lock(&scenario.events.0).join("\n");
    let kinds: Vec<_> = all.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(kinds, ["Connected", "Joined", "Left", "Disconnected"], "{all}");
    assert!(client.received().contains(r#"{"type":"system","event":"disconnected","message":"bye"}"#));
    assert!(client.is_closed);
}

#[tokio::test]
async fn a_simple_client_gets_an_echo_before_its_close_frame() {
    let scenario = Scenario::new(HubLimits::default());
    let mut client = scenario.connect(Subprotocol::Simple, &[]);
    client.send("hello");
    client.send_frame(0x88, &1000_u16.to_be_bytes());
    let all = client.wait_received("\u{3}\u{fffd}").await;
    assert!(all.starts_with("\u{fffd}\u{5}hello"), "{all:?}");
}

#[tokio::test]
async fn violations_close_with_their_status() {
    let scenario = Scenario::new(HubLimits { max_message_bytes: 1024, ..HubLimits::default() });
    for (first, payload, code) in
        [(0xc1_u8, vec![], 1002_u16), (0x81, vec![0xff], 1007), (0x82, vec![0; 1025], 1009)]
    {
        let mut client = scenario.connect(Subprotocol::Simple, &[]);
        client.send_frame(first, &payload);
        let close = [&[0x88][..], &code.to_be_bytes()].concat();
        assert!(
            client.is_closed
                && client.pipe.output.windows(4).any(|w| w[0] == close[0] && w[2..] == close[1..])
        );
    }
    let mut client = scenario.connect(Subprotocol::Json, &[]);
    client.send("{");
    let all = client.received();
    assert!(client.is_closed && all.contains(r#""event":"disconnected""#), "{all}");
}

#[tokio::test]
async fn a_reload_keeps_hubs_applies_limits_and_closes_removed_hubs() {
    let scenario = Scenario::new(HubLimits::default());
    let mut client = scenario.connect(Subprotocol::Json, &[]);
    let config = HubConfig {
        limits: HubLimits { max_queued_messages: 1, ..HubLimits::default() },
        ..hub_config(Vec::new())
    };
    let mut service = service_config(&[]);
    service.other_hubs = Some(Arc::new(config));
    scenario.engine.configure(&RealtimeConfig::default(), &[hub_service(service)]);
    assert_eq!(scenario.hub().context.load().config.limits.max_queued_messages, 1);
    assert!(!client.received().contains("disconnected"));
    scenario.engine.configure(&RealtimeConfig::default(), &[]);
    assert!(client.received().contains("ServiceReload") && client.is_closed);
    assert_eq!(scenario.engine.shared.connections.load(Relaxed), 0);
}
