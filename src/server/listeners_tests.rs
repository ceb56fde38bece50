use super::*;
use crate::{
    net::unix_address::UnixAddress,
    pipeline::internal::ServiceRegistry,
    server::{drain::MIN_EVICTED_IDLE, internal_gateway::internal_gateway, run::serve_listeners},
};
use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

fn tcp(name: &str, port: u16) -> ListenerPlan {
    ListenerPlan::plain(name, SocketAddr::from(([127, 0, 0, 1], port)))
}

fn unix(path: &Path) -> ListenerPlan {
    let address = UnixAddress::parse(&format!("unix:{}", path.display()), None).unwrap().unwrap();
    ListenerPlan::plain("local", Address::Unix(address))
}

#[test]
fn a_listener_with_the_same_address_keeps_its_socket_and_has_the_new_plan() {
    let old = update(&[], &[tcp("a", 0)]).unwrap();
    let new = update(&old, &[tcp("b", 0)]).unwrap();
    assert!(Arc::ptr_eq(&old[0], &new[0]));
    assert_eq!((new[0].address(), &*new[0].plan().name), (old[0].address(), "b"));
}

#[test]
fn a_listener_that_cannot_be_bound_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let old = update(&[], &[tcp("a", 0)]).unwrap();
    let error = update(&old, &[tcp("b", 0), tcp("c", port)]).unwrap_err();
    assert_eq!((&*error.name, error.error.kind()), ("c", io::ErrorKind::AddrInUse));
    assert_eq!(&*old[0].plan().name, "a");
}

#[test]
fn the_file_of_a_removed_unix_domain_socket_is_deleted_and_that_of_a_kept_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let old = update(&[], &[unix(&one), unix(&two)]).unwrap();
    let new = update(&old, &[unix(&two)]).unwrap();
    retire(&old, &new);
    assert!(!one.exists() && two.exists());
}

#[test]
fn a_unix_domain_socket_whose_file_was_deleted_is_bound_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let old = update(&[], &[unix(&path)]).unwrap();
    std::fs::remove_file(&path).unwrap();
    let new = update(&old, &[unix(&path)]).unwrap();
    assert!(!Arc::ptr_eq(&old[0], &new[0]) && path.exists());
}

#[tokio::test]
async fn a_drain_waits_for_open_connections_until_its_deadline() {
    let gateway = internal_gateway(ServiceRegistry::default(), 8).unwrap();
    let client = [127, 0, 0, 1].into();
    let guard = gateway.connections.try_acquire(client, 8, 8).unwrap();
    assert!(!wait_drained(&gateway, Instant::now()).await);
    drop(guard);
    assert!(wait_drained(&gateway, Instant::now()).await);
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_a_new_one() {
    let gateway = internal_gateway(ServiceRegistry::default(), 4).unwrap();
    let listeners = update(&[], &[tcp("a", 0)]).unwrap();
    let Address::Tcp(address) = listeners[0].address() else { panic!("a TCP address") };
    let (listeners, worker) = (watch::Sender::new(listeners), Arc::new(Worker { index: 0, gateway }));
    tokio::spawn(serve_listeners(worker, listeners.subscribe()));
    // One address may have half of the four connections.
    let connect = async |host: u8| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        socket.connect(address).await.unwrap()
    };
    let respond = async || {
        let mut stream = connect(1).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    };
    let _idle = [connect(2).await, connect(2).await, connect(3).await, connect(3).await];
    let rejected = respond().await;
    assert!(rejected.contains("gateway.connection_limit"), "none has been idle for long: {rejected}");
    tokio::time::sleep(MIN_EVICTED_IDLE).await;
    let response = respond().await;
    assert!(response.contains("route.not_found"), "{response}");
}
