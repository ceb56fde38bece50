//! The shared state with real Redis servers.

use super::{
    Cmd, Notice, Script, SharedStateConfig, StateError, Value,
    testing::{RedisServer, connect, free_port, wait_until},
};
use crate::base::secret::Secret;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn config(port: u16) -> SharedStateConfig {
    SharedStateConfig { timeout: Duration::from_millis(100), ..SharedStateConfig::local(port) }
}

fn get(key: &str) -> Cmd {
    let mut command = Cmd::new();
    command.arg("GET").arg(key);
    command
}

#[tokio::test]
async fn commands_pipelines_and_scripts_return_replies() {
    static SET: Script = Script::new("return redis.call('SET', KEYS[1], ARGV[1])");
    let server = RedisServer::start();
    let (_states, state) = connect(&config(server.port));
    let key = state.key("a", b"b");
    assert_eq!(key, b"test:a:b");
    for _ in 0..2 {
        let reply = state.script(&SET, std::slice::from_ref(&key), &[b"1".to_vec()], SECOND).await;
        assert_eq!(reply, Ok(Value::Okay));
        let flush = Cmd::new().arg("SCRIPT").arg("FLUSH").to_owned();
        assert!(state.command(&flush, SECOND).await.is_ok(), "a flushed script is sent again");
    }
    assert_eq!(state.command(&get("test:a:b"), SECOND).await, Ok(Value::BulkString(b"1".to_vec())));
    let mut pipeline = super::Pipeline::new();
    pipeline.cmd("INCR").arg("n").cmd("INCR").arg("n");
    assert_eq!(state.pipeline(&pipeline, SECOND).await, Ok(vec![Value::Int(1), Value::Int(2)]));
    let wrong = state.command(Cmd::new().arg("LPUSH").arg("n").arg("1"), SECOND).await;
    assert!(matches!(wrong, Err(StateError::Server(text)) if text.starts_with("WRONGTYPE")));
}

#[tokio::test]
async fn calls_of_a_script_by_several_requests_are_sent_together() {
    static ECHO: Script =
        Script::new("if ARGV[1] == 'bad' then return redis.error_reply('BAD input') end return ARGV[1]");
    let server = RedisServer::start();
    let (_states, state) = connect(&config(server.port));
    let call = |text: &str| {
        let (state, text) = (state.clone(), text.as_bytes().to_vec());
        async move { state.script_in_batch(&ECHO, vec![b"k".to_vec()], vec![text]).await }
    };
    // The server does not know the script before the first round.
    for _ in 0..2 {
        let (one, bad, two) = tokio::join!(call("1"), call("bad"), call("2"));
        assert_eq!((one, two), (Ok(Value::BulkString(b"1".into())), Ok(Value::BulkString(b"2".into()))));
        assert!(matches!(bad, Err(StateError::Server(text)) if text.starts_with("BAD")));
    }
    server.signal("STOP");
    let timeout = Err(StateError::Timeout(state.timeout()));
    for _ in 0..3 {
        assert_eq!(tokio::join!(call("1"), call("2")), (timeout.clone(), timeout.clone()));
    }
    assert_eq!(call("1").await, Err(StateError::Unavailable), "each call counts for the circuit");
    server.signal("CONT");
}

#[tokio::test]
async fn a_server_that_stops_replying_opens_the_circuit_and_a_probe_closes_it() {
    let server = RedisServer::start();
    let (_states, state) = connect(&config(server.port));
    server.signal("STOP");
    for _ in 0..5 {
        let reply = state.command(&get("a"), state.timeout()).await;
        assert_eq!(reply, Err(StateError::Timeout(state.timeout())));
    }
    let started_at = Instant::now();
    assert_eq!(state.command(&get("a"), state.timeout()).await, Err(StateError::Unavailable));
    assert!(started_at.elapsed() < state.timeout() / 2, "nothing waits for an open circuit");
    server.signal("CONT");
    wait_until(|| state.is_available());
    assert_eq!(state.command(&get("a"), SECOND).await, Ok(Value::Nil));
    assert!(state.metrics().degraded() > Duration::ZERO);
}

#[tokio::test]
async fn a_lost_connection_is_opened_again() {
    let mut server = RedisServer::start();
    let (_states, state) = connect(&config(server.port));
    server.stop();
    wait_until(|| !state.is_available());
    assert_eq!(state.command(&get("a"), SECOND).await, Err(StateError::Unavailable));
    server.restart();
    wait_until(|| state.is_available());
    assert_eq!(state.command(&get("a"), SECOND).await, Ok(Value::Nil));
}

#[tokio::test]
async fn a_subscription_receives_messages_and_learns_of_gaps() {
    let mut server = RedisServer::start();
    let (_states, state) = connect(&config(server.port));
    let channel = state.channel("news", "all");
    let mut subscription = state.subscribe(&channel, 16);
    assert_eq!(subscription.recv().await, Some(Notice::Subscribed));
    assert_eq!(state.publish(&channel, b"one", SECOND).await, Ok(Value::Int(1)));
    let Some(Notice::Message { channel: from, payload }) = subscription.recv().await else {
        panic!("a message")
    };
    assert_eq!((&*from, &payload[..]), (channel.as_str(), &b"one"[..]));
    let mut second = state.subscribe(&channel, 16);
    assert_eq!(second.recv().await, Some(Notice::Subscribed));
    server.restart();
    assert_eq!(subscription.recv().await, Some(Notice::Subscribed), "after a lost connection");
    wait_until(|| state.is_available());
    assert_eq!(state.publish(&channel, b"two", SECOND).await, Ok(Value::Int(1)));
    assert!(matches!(subscription.recv().await, Some(Notice::Message { .. })));
}

#[tokio::test]
async fn a_wrong_password_leaves_the_state_unavailable() {
    let server = RedisServer::with(&["--requirepass", "right"]);
    let mut settings = config(server.port);
    settings.credentials.password = Some(Secret::new("right"));
    let (_states, state) = connect(&settings);
    assert!(state.command(&get("a"), SECOND).await.is_ok());
    for password in [None, Some(Secret::new("wrong"))] {
        settings.credentials.password = password;
        let states = super::SharedStates::active(std::sync::Arc::default());
        let state = states.get(&settings);
        let errors = || state.metrics().errors().map(|(_, count)| count).sum::<u64>();
        wait_until(|| errors() > 0);
        assert_eq!(state.command(&get("a"), SECOND).await, Err(StateError::Unavailable));
    }
}

#[tokio::test]
async fn a_server_that_is_not_redis_leaves_the_state_unavailable() {
    let port = free_port();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port");
    std::thread::spawn(move || {
        for stream in listener.incoming().take(20).flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let states = super::SharedStates::active(std::sync::Arc::default());
    let state = states.get(&config(port));
    let errors = || state.metrics().errors().map(|(_, count)| count).sum::<u64>();
    wait_until(|| errors() > 1);
    assert!(!state.is_available());
    assert_eq!(state.command(&get("a"), SECOND).await, Err(StateError::Unavailable));
}
