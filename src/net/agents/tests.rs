//! Both sides of a connection of an agent, over a pipe in memory.

use super::{
    access::{Proof, Requester},
    agent_side::{self, AgentContext, AgentStop},
    config::{AgentConfig, ConnectRule, TunnelLimits, TunnelsConfig},
    connection,
    entry::AgentHello,
    error::AgentError,
    open::StreamRequest,
    registry::AgentRegistry,
    service_target::ServiceTarget,
};
use crate::telemetry::Metrics;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpListener,
    sync::watch,
};

const TIMEOUT: Duration = Duration::from_secs(5);

fn settings(change: impl FnOnce(&mut AgentConfig)) -> Arc<TunnelsConfig> {
    let mut agent = AgentConfig {
        name: "dev1".into(),
        is_pattern: false,
        keys: Vec::new(),
        certificates: Vec::new(),
        subjects: vec!["ann".into()],
        is_enabled: true,
        services: None,
        connect: vec![ConnectRule::Routes],
        instances: 1,
        limits: TunnelLimits::default(),
    };
    change(&mut agent);
    Arc::new(TunnelsConfig::new(Vec::new(), vec![agent], TunnelLimits::default(), None))
}

/// A registry with an agent whose services are `services`.
struct Tunnel {
    registry: Arc<AgentRegistry>,
    stop: watch::Sender<AgentStop>,
}

impl Tunnel {
    async fn new(config: Arc<TunnelsConfig>, services: &[String]) -> Tunnel {
        let registry = AgentRegistry::new(Metrics::new(1));
        registry.reconfigure(&config);
        let (stop, stopped) = watch::channel(AgentStop::No);
        let tunnel = Tunnel { registry, stop };
        tunnel.connect(&config, services, "0000000000000001", stopped);
        assert!(tunnel.registry.wait_connected("dev1", TIMEOUT).await);
        tunnel
    }

    fn connect(
        &self,
        config: &TunnelsConfig,
        services: &[String],
        instance: &str,
        stopped: watch::Receiver<AgentStop>,
    ) {
        let (gateway, agent) = duplex(64 * 1024);
        let context = AgentContext::default();
        context.set_services(services.iter().map(|text| ServiceTarget::parse(text).unwrap()).collect());
        let hello = AgentHello {
            agent: "dev1".into(),
            instance: instance.into(),
            services: super::names::parse_services(&context.offer()),
            peer: "192.0.2.1:1".parse().unwrap(),
            proof: Proof::Subject("ann".into()),
            host: "gw".into(),
        };
        let entry = config.agent("dev1").unwrap().clone();
        tokio::spawn(connection::serve(Box::new(gateway), self.registry.clone(), hello, entry));
        tokio::spawn(agent_side::serve(Box::new(agent), Arc::new(context), Arc::default(), stopped));
    }

    async fn open(&self, service: &str) -> Result<super::virtual_stream::AgentStream, AgentError> {
        let requester = &Requester::Route;
        let request = StreamRequest { agent: "dev1", service, requester, client: None, timeout: TIMEOUT };
        self.registry.open(request).await
    }
}

/// A service that runs this for each of its connections.
async fn service<F>(serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn echo() -> String {
    let echoing = |mut stream: tokio::net::TcpStream| async move {
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await?;
        to.shutdown().await
    };
    format!("echo={}", service(echoing).await)
}

#[tokio::test]
async fn bytes_pass_in_both_directions_and_each_ends_by_itself() {
    let tunnel = Tunnel::new(settings(|_| {}), &[echo().await]).await;
    let mut stream = tunnel.open("echo").await.unwrap();
    let sent: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    let (mut received, upload) = (Vec::new(), sent.clone());
    let (mut reading, mut writing) = tokio::io::split(&mut stream);
    let send = async {
        writing.write_all(&upload).await.unwrap();
        writing.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(send, reading.read_to_end(&mut received));
    assert_eq!((read.unwrap(), received), (sent.len(), sent));
}

#[tokio::test]
async fn a_reset_of_the_service_follows_the_bytes_before_it() {
    let resetting = |mut stream: tokio::net::TcpStream| async move {
        stream.write_all(&[7; 1000]).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    };
    let service = format!("reset={}", service(resetting).await);
    let tunnel = Tunnel::new(settings(|_| {}), &[service]).await;
    let mut stream = tunnel.open("reset").await.unwrap();
    let mut received = Vec::new();
    let error = stream.read_to_end(&mut received).await.unwrap_err();
    assert_eq!((received.len(), error.kind()), (1000, io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn refusals_name_their_reason_at_once() {
    let unreachable = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = settings(|agent| agent.services = Some(vec!["echo".into(), "dead".into(), "absent".into()]));
    let tunnel =
        Tunnel::new(config, &[echo().await, format!("dead={unreachable}"), format!("secret={unreachable}")])
            .await;
    assert_eq!(tunnel.open("absent").await.unwrap_err(), AgentError::Service);
    assert_eq!(tunnel.open("secret").await.unwrap_err(), AgentError::Service);
    assert_eq!(tunnel.open("dead").await.unwrap_err(), AgentError::Connect("connection refused".into()));
    let request = StreamRequest {
        agent: "dev2",
        service: "echo",
        requester: &Requester::Route,
        client: None,
        timeout: TIMEOUT,
    };
    assert_eq!(tunnel.registry.open(request).await.unwrap_err(), AgentError::Unknown);
    let request = StreamRequest { agent: "dev1", requester: &Requester::Anonymous, ..request };
    assert_eq!(tunnel.registry.open(request).await.unwrap_err(), AgentError::Access);
}

#[tokio::test]
async fn streams_are_limited_and_their_places_are_free_again_at_their_end() {
    let config = settings(|agent| agent.limits.max_streams_per_agent = 2);
    let tunnel = Tunnel::new(config, &[echo().await]).await;
    let (first, _second) = (tunnel.open("echo").await.unwrap(), tunnel.open("echo").await.unwrap());
    assert_eq!(tunnel.open("echo").await.unwrap_err(), AgentError::StreamLimit);
    drop(first);
    assert!(tunnel.open("echo").await.is_ok());
}

#[tokio::test]
async fn an_idle_stream_ends() {
    let config = settings(|agent| agent.limits.idle_timeout = Duration::from_millis(50));
    let tunnel = Tunnel::new(config, &[echo().await]).await;
    let mut stream = tunnel.open("echo").await.unwrap();
    let error = stream.read(&mut [0; 9]).await.unwrap_err();
    assert_eq!(error.to_string(), "the stream ended: idle");
}

#[tokio::test]
async fn an_agent_that_the_settings_do_not_admit_any_more_loses_its_streams() {
    let tunnel = Tunnel::new(settings(|_| {}), &[echo().await]).await;
    let mut stream = tunnel.open("echo").await.unwrap();
    tunnel.registry.reconfigure(&settings(|agent| agent.subjects = vec!["bob".into()]));
    assert!(stream.read(&mut [0; 9]).await.is_err());
    assert_eq!(tunnel.open("echo").await.unwrap_err(), AgentError::Offline);
}

#[tokio::test]
async fn a_newer_instance_replaces_the_older_one_whose_streams_continue() {
    let (config, services) = (settings(|_| {}), [echo().await]);
    let tunnel = Tunnel::new(config.clone(), &services).await;
    let mut old = tunnel.open("echo").await.unwrap();
    tunnel.connect(&config, &services, "0000000000000002", tunnel.stop.subscribe());
    while tunnel.registry.summaries()[0].connections.iter().all(|known| known.instance.ends_with('1')) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(tunnel.registry.summaries()[0].instances, 1);
    old.write_all(b"still here").await.unwrap();
    let mut echoed = [0; 10];
    old.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"still here");
    assert!(tunnel.open("echo").await.is_ok());
}

#[tokio::test]
async fn a_stopped_agent_accepts_no_new_streams_and_finishes_the_open_ones() {
    let tunnel = Tunnel::new(settings(|_| {}), &[echo().await]).await;
    let mut stream = tunnel.open("echo").await.unwrap();
    tunnel.stop.send_replace(AgentStop::Graceful);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(tunnel.open("echo").await.is_err());
    stream.write_all(b"x").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut echoed = Vec::new();
    stream.read_to_end(&mut echoed).await.unwrap();
    assert_eq!(echoed, b"x");
}

/// A client that does not read holds at most its window, and another stream is not delayed by it.
#[tokio::test]
async fn a_stream_that_is_not_read_stops_itself_only() {
    let flooding = |mut stream: tokio::net::TcpStream| async move {
        loop {
            stream.write_all(&[0; 64 * 1024]).await?;
        }
    };
    let services = [echo().await, format!("flood={}", service(flooding).await)];
    let tunnel = Tunnel::new(settings(|_| {}), &services).await;
    let _stuck = [tunnel.open("flood").await.unwrap(), tunnel.open("flood").await.unwrap()];
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut stream = tunnel.open("echo").await.unwrap();
    stream.write_all(&[1; 100_000]).await.unwrap();
    let mut echoed = vec![0; 100_000];
    let read = tokio::time::timeout(TIMEOUT, stream.read_exact(&mut echoed)).await;
    assert!(read.is_ok_and(|read| read.is_ok()), "the other streams fill their own windows only");
}
