//! Links without sockets: posts, polls, lost sockets.

use super::{
    link::{Link, NewLink},
    poll,
    table::{LinkTable, TokenState},
};
use crate::pipeline::{
    body::{Body, Chunk, NoClient},
    response::Response,
};
use crate::realtime::{
    config::HubLimits,
    engine::scenario::Scenario,
    message::{Origin, Payload, Publication},
    operation::{Operation, Recipients, Selection},
    protocols::signalr::Transport,
};
use std::{future::poll_fn, sync::Arc, time::Duration};

const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";

struct Links {
    scenario: Scenario,
    table: Arc<LinkTable>,
}

impl Links {
    fn new() -> Links {
        Links { scenario: Scenario::new(HubLimits::default()), table: Arc::default() }
    }

    fn open(&self, transport: Transport, is_stateful: bool) -> Arc<Link> {
        let hub = self.scenario.hub();
        hub.enter(0);
        let id = self.scenario.engine.shared.new_id();
        let new = NewLink {
            token: format!("secret-{id}").into(),
            id,
            transport,
            is_stateful,
            user: Some("ann".into()),
            client: Arc::default(),
            hub,
            context: self.scenario.context.clone(),
            table: self.table.clone(),
            user_groups: self.scenario.engine.data_plane.user_groups.clone(),
            groups: Vec::new(),
            worker: 0,
            age: Duration::ZERO,
        };
        Link::open(new).unwrap()
    }

    /// Calls a method of all clients.
    fn send(&self, target: &str) {
        let text = format!("{{\"type\":1,\"target\":\"{target}\",\"arguments\":[]}}");
        let publication = Arc::new(Publication::new(Origin::Server, Payload::Json(text.into())));
        let to = Selection::of(Recipients::All);
        self.scenario.hub().run(&Arc::new(Operation::Send { to, publication }));
    }
}

fn invocation(id: &str) -> String {
    format!("{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"X\",\"arguments\":[]}}\u{1e}")
}

fn message(target: &str) -> String {
    format!("{{\"type\":1,\"target\":\"{target}\",\"arguments\":[]}}\u{1e}")
}

async fn poll(link: &Arc<Link>) -> Response {
    poll::poll(link.clone(), &mut NoClient).await.unwrap()
}

/// Status and body of a response that is sent completely.
async fn sent(response: Response) -> (u16, String) {
    let status = response.status();
    let mut text = Vec::new();
    match response.body {
        Body::Empty => {}
        Body::Bytes(bytes) => text.extend_from_slice(&bytes),
        Body::Stream(mut stream) => loop {
            let n = poll_fn(|cx| {
                stream.poll_fill(cx).map(|chunk| match chunk.unwrap() {
                    Chunk::Data(data) => {
                        text.extend_from_slice(data);
                        data.len()
                    }
                    Chunk::End => 0,
                })
            })
            .await;
            if n == 0 {
                break;
            }
            stream.consume(n);
        },
    }
    (status, String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn polls_receive_the_handshake_then_messages_then_the_end() {
    let links = Links::new();
    let link = links.open(Transport::LongPolling, false);
    link.receive(HANDSHAKE.as_bytes());
    assert_eq!(sent(poll(&link).await).await, (200, "{}\u{1e}".to_owned()));
    links.send("a");
    links.send("b");
    assert_eq!(sent(poll(&link).await).await, (200, message("a") + &message("b")));
    links.send("c");
    link.close_normally();
    assert_eq!(sent(poll(&link).await).await, (200, message("c")));
    assert!(matches!(links.table.get(&link.token), TokenState::Link(_)));
    assert_eq!(sent(poll(&link).await).await, (204, String::new()));
    assert!(matches!(links.table.get(&link.token), TokenState::Ended));
    assert_eq!(links.scenario.hub().connections(), 0);
}

#[tokio::test]
async fn messages_of_a_response_that_is_not_sent_are_sent_with_the_next_one() {
    let links = Links::new();
    let link = links.open(Transport::LongPolling, false);
    link.receive(HANDSHAKE.as_bytes());
    links.send("a");
    drop(poll(&link).await);
    links.send("b");
    let expected = "{}\u{1e}".to_owned() + &message("a") + &message("b");
    assert_eq!(sent(poll(&link).await).await, (200, expected));
}

#[tokio::test]
async fn a_new_poll_takes_over_and_the_old_one_ends() {
    let links = Links::new();
    let link = links.open(Transport::LongPolling, false);
    link.receive(HANDSHAKE.as_bytes());
    sent(poll(&link).await).await;
    let (old, new, ()) = tokio::join!(poll(&link), poll(&link), async {
        tokio::task::yield_now().await;
        links.send("a");
    });
    assert_eq!((old.status(), sent(new).await), (204, (200, message("a"))));
}

#[tokio::test]
async fn a_handshake_that_is_rejected_is_answered_and_leaves_nothing() {
    let links = Links::new();
    let link = links.open(Transport::LongPolling, false);
    link.receive(b"{\"protocol\":\"xml\",\"version\":1}\x1e");
    let (status, text) = sent(poll(&link).await).await;
    assert!(status == 200 && text.starts_with("{\"error\":") && text.ends_with('\u{1e}'), "{text}");
    assert_eq!(poll(&link).await.status(), 204);
    assert_eq!((links.table.len(), links.scenario.hub().connections()), (0, 0));
}

#[tokio::test]
async fn after_a_lost_socket_no_invocation_is_processed_twice() {
    let links = Links::new();
    let link = links.open(Transport::WebSockets, true);
    assert!(link.attach());
    link.receive(HANDSHAKE.as_bytes());
    link.receive(invocation("1").as_bytes());
    let connection = link.connection().unwrap();
    let completions = || connection.session().queue.last_sequence();
    settle(|| completions() == 1).await;
    assert_eq!(link.resume(), Some(2));
    link.receive(invocation("ignored").as_bytes());
    link.receive(
        format!("{{\"type\":9,\"sequenceId\":1}}\u{1e}{}{}", invocation("1"), invocation("2")).as_bytes(),
    );
    settle(|| completions() == 2).await;
    assert_eq!(completions(), 2);
    link.receive(b"{\"type\":9,\"sequenceId\":9}\x1e");
    assert!(link.connection().is_none(), "a gap ends the connection");
}

#[tokio::test]
async fn malformed_messages_end_the_connection() {
    let links = Links::new();
    let link = links.open(Transport::LongPolling, false);
    link.receive(HANDSHAKE.as_bytes());
    sent(poll(&link).await).await;
    link.receive(b"{\"type\":1}\x1e");
    let (status, text) = sent(poll(&link).await).await;
    assert!(status == 200 && text.contains("\"type\":7") && !text.contains("allowReconnect"), "{text}");
    assert_eq!(poll(&link).await.status(), 204);
}

async fn settle(is_done: impl Fn() -> bool) {
    for _ in 0..100 {
        if is_done() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
