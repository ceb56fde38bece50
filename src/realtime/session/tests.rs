//! Tests of the queue and of the life of a session.

use super::{queue::OutboundQueue, *};
use crate::realtime::message::{Origin, Payload};
use bytes::Bytes;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LIMITS: QueueLimits = QueueLimits { max_messages: 3, max_bytes: 1000, max_detached_bytes: usize::MAX };

fn text(body: &str) -> Arc<Publication> {
    Arc::new(Publication::new(Origin::Server, Payload::Text(Bytes::copy_from_slice(body.as_bytes()))))
}

/// Everything that would be written, as text.
fn written(queue: &mut OutboundQueue) -> String {
    let mut all = Vec::new();
    loop {
        let mut out = Vec::new();
        queue.fill(&mut out, SystemTime::now);
        if out.is_empty() {
            return String::from_utf8_lossy(&all).into_owned();
        }
        // In pieces: a socket may accept any number of bytes.
        let n = out.len().div_ceil(2);
        queue.advance(n);
        all.extend_from_slice(&out[..n]);
    }
}

#[test]
fn partial_writes_continue_where_they_ended() {
    let mut queue = OutboundQueue::default();
    let long = "x".repeat(200_000);
    for body in ["one", &long, "three"] {
        queue.push_publication(text(body), Subprotocol::Simple);
    }
    queue.push_frame(Box::from(&b"\x89\x00"[..]));
    let bytes = queue.bytes();
    let all = written(&mut queue);
    assert_eq!(all.matches('x').count(), 200_000);
    assert!(all.starts_with("\u{fffd}\u{3}one") && all.contains("three"), "{:?}", &all[..20]);
    assert_eq!((bytes, queue.bytes(), queue.messages()), (200_010, 0, 0));
}

#[test]
fn a_reliable_receiver_gets_numbers_and_messages_stay_until_acknowledged() {
    let mut queue = OutboundQueue::default();
    for body in ["a", "b", "c"] {
        queue.push_publication(text(body), Subprotocol::JsonReliable);
    }
    queue.acknowledge(3);
    assert_eq!(queue.messages(), 3, "nothing was sent yet");
    let all = written(&mut queue);
    assert!(
        all.contains(r#"{"sequenceId":1,"type":"message""#) && all.contains(r#"{"sequenceId":3,"#),
        "{all}"
    );
    queue.acknowledge(1);
    queue.acknowledge(1);
    queue.acknowledge(99);
    assert_eq!((queue.messages(), queue.bytes()), (0, 0), "a higher number releases what was sent");
    queue.push_publication(text("d"), Subprotocol::JsonReliable);
    assert!(written(&mut queue).contains(r#"{"sequenceId":4,"#));
    assert_eq!(queue.messages(), 1);
}

#[test]
fn a_new_socket_gets_what_is_unacknowledged_with_the_same_numbers() {
    let mut session = Session::default();
    let epoch = session.attach(None, Subprotocol::JsonReliable);
    for body in ["a", "b", "c"] {
        assert_eq!(session.push_publication(&text(body), Subprotocol::JsonReliable, LIMITS), Push::Queued);
    }
    written(&mut session.queue);
    session.queue.acknowledge(1);
    assert!(session.detach(epoch) && !session.detach(epoch));
    assert_eq!(session.push_publication(&text("d"), Subprotocol::JsonReliable, LIMITS), Push::Queued);
    session.attach(Some(&ServerMessage::Pong), Subprotocol::JsonReliable);
    let all = written(&mut session.queue);
    let order: Vec<_> = ["pong", r#""sequenceId":2"#, r#""sequenceId":3"#, r#""sequenceId":4"#]
        .iter()
        .map(|part| all.find(part).unwrap())
        .collect();
    assert!(order.is_sorted() && !all.contains(r#""sequenceId":1,"#), "{all}");
}

#[test]
fn a_full_queue_is_an_overflow_and_an_ended_session_queues_nothing() {
    let mut session = Session::default();
    session.attach(None, Subprotocol::Json);
    let push =
        |session: &mut Session, body: &str| session.push_publication(&text(body), Subprotocol::Json, LIMITS);
    for _ in 0..3 {
        assert_eq!(push(&mut session, "x"), Push::Queued);
    }
    assert_eq!(push(&mut session, "x"), Push::Overflow);
    let options = EndOptions { subprotocol: Subprotocol::Json, discards_queue: true };
    let farewell = ServerMessage::Disconnected { message: "SlowClient".into(), allows_reconnect: true };
    session.end(Some(&farewell), vec![0x88, 0], options);
    assert_eq!(push(&mut session, "x"), Push::Ended);
    let all = written(&mut session.queue);
    assert!(all.contains("SlowClient") && !all.contains("message\",\"from"), "{all}");
    let mut session = Session::default();
    session.attach(None, Subprotocol::Json);
    assert_eq!(push(&mut session, &"x".repeat(1001)), Push::Overflow, "bytes");
}

#[test]
fn an_expired_message_is_not_written_and_its_number_is_not_reused() {
    let mut queue = OutboundQueue::default();
    let expiring = |seconds| {
        let expires_at = Some(UNIX_EPOCH + Duration::from_secs(seconds));
        let payload = Payload::Text(Bytes::from_static(b"x"));
        Arc::new(Publication::new(Origin::Server, payload).with_expiry(expires_at))
    };
    queue.push_publication(expiring(10), Subprotocol::JsonReliable);
    queue.push_publication(text("stays"), Subprotocol::JsonReliable);
    let mut out = Vec::new();
    let expired = queue.fill(&mut out, || UNIX_EPOCH + Duration::from_secs(11));
    let out = String::from_utf8_lossy(&out).into_owned();
    assert!(
        expired == 1 && out.contains(r#"{"sequenceId":2,"#) && !out.contains(r#""sequenceId":1"#),
        "{out}"
    );
    assert_eq!(queue.messages(), 1);
}

#[test]
fn groups_are_sorted_and_unique() {
    let mut session = Session::default();
    for group in ["b", "a", "b"] {
        session.add_group(&group.into());
    }
    assert_eq!(session.groups, [Arc::from("a"), Arc::from("b")]);
    assert!(session.is_member("a") && session.remove_group("a") && !session.remove_group("a"));
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 520, "{}", size_of::<Session>());
}

#[test]
fn a_reliable_session_keeps_what_arrives_while_its_socket_closes() {
    let protocol = Subprotocol::JsonReliable;
    let mut session = Session::default();
    session.attach(None, protocol);
    session.close_socket(None, vec![0x88, 0], protocol);
    assert_eq!(session.push_publication(&text("kept"), protocol, LIMITS), Push::Queued);
    assert!(!written(&mut session.queue).contains("kept"), "nothing follows the close frame");
    session.attach(None, protocol);
    assert!(written(&mut session.queue).contains("\"sequenceId\":1,"));
}
