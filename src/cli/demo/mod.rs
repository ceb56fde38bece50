//! The sample services that `margay demo` runs behind the gateway, on loopback ports that `gateway.json` references.
//!
//! Entry point: `run`; `start` without the gateway. Each service is an axum router, served as an internal service
//! on its own listener by the ordinary gateway engine, all on one separate worker; two more are an echo over TCP and one
//! over UDP. An agent connects to the gateway, so that routes reach one of them by name. They live until the process ends.

mod echo;
mod identity;
mod live;
mod services;
mod shop;
mod sign_in;

use super::args::Demo;
use super::{Exit, output, run_settings};
use crate::net::listener::Address;
use crate::pipeline::internal::{InternalService, ServiceRegistry};
use crate::plan::ListenerPlan;
use crate::server::{
    internal_gateway::internal_gateway,
    listeners::{BindError, Listeners, update},
    run::serve_listeners,
    worker::Worker,
};
use crate::stages::custom::StageRegistry;
use axum::Router;
use echo::EchoSockets;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Concurrent connections to all sample services together.
const MAX_CONNECTIONS: usize = 4096;

/// One service: its name, the variable that overrides its port, and the default port. The defaults are in `gateway.json`
/// as `${CATALOG_PORT:-9101}` and so on.
struct DemoService {
    name: &'static str,
    variable: &'static str,
    port: u16,
    router: fn() -> io::Result<Router>,
}

impl DemoService {
    const fn new(
        name: &'static str,
        variable: &'static str,
        port: u16,
        router: fn() -> io::Result<Router>,
    ) -> DemoService {
        DemoService { name, variable, port, router }
    }
}

const SERVICES: [DemoService; 9] = [
    DemoService::new("catalog-1", "CATALOG_PORT", 9101, || Ok(services::catalog(1))),
    DemoService::new("catalog-2", "CATALOG2_PORT", 9102, || Ok(services::catalog(2))),
    DemoService::new("orders", "ORDERS_PORT", 9103, || Ok(services::orders())),
    DemoService::new("echo", "ECHO_PORT", 9104, || Ok(services::echo())),
    DemoService::new("identity", "IDENTITY_PORT", 9105, sign_in::router),
    DemoService::new("flaky", "FLAKY_PORT", 9106, || Ok(services::flaky())),
    DemoService::new("events", "EVENTS_PORT", 9107, || Ok(services::events())),
    DemoService::new("live", "LIVE_PORT", 9108, || Ok(live::router())),
    // Only the agent has to know the port.
    DemoService::new(TILL, "TILL_PORT", 0, || Ok(shop::router())),
];

/// The service behind the agent.
const TILL: &str = "till";

/// The services without HTTP: name, variable and default port.
const ECHO_TCP: (&str, &str, u16) = ("echo-tcp", "ECHO_TCP_PORT", 9110);
const ECHO_UDP: (&str, &str, u16) = ("echo-udp", "ECHO_UDP_PORT", 9111);

/// An error at the start of the services; each is a sentence with its fix.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{variable}={value} is not a port: set it to a number from 1 to 65535")]
    NotAPort { variable: &'static str, value: String },
    #[error("port {port} for the sample service {name} is in use ({source}): set {variable} to another port")]
    PortInUse { name: &'static str, variable: &'static str, port: u16, source: io::Error },
    #[error("the sample services cannot start: {0}")]
    Start(#[from] io::Error),
    #[error("the sample services cannot start: {0}")]
    Configuration(String),
}

/// `margay demo`: the services, then the gateway in front of them.
pub(super) fn run(demo: &Demo, stages: &StageRegistry) -> Exit {
    let running = match start(|name| std::env::var(name).ok()) {
        Ok(running) => running,
        Err(error) => return Exit::failed(&error.to_string()),
    };
    for (name, address) in &running.services {
        output::write_stderr(&format!("margay: sample service {name} on {address}\n"));
    }
    if demo.services_only {
        wait();
    }
    match start_agent(demo, &running) {
        Ok(()) => super::run::run(&demo.run, stages),
        Err(error) => Exit::failed(&error),
    }
}

/// Starts the agent in front of the till.
fn start_agent(demo: &Demo, running: &Running) -> Result<(), String> {
    let environment = |name: &str| std::env::var(name).ok();
    let till = running.services.iter().find(|(name, _)| *name == TILL).map(|(_, url)| url.as_str());
    let listen = run_settings::addresses(&demo.run, environment)?.listen;
    shop::start_agent(till.unwrap_or_default(), &listen, environment)
}

/// Waits until a signal ends the process.
fn wait() -> ! {
    loop {
        std::thread::park();
    }
}

/// The sample services, running on a separate thread for the rest of the process.
#[derive(Debug)]
pub struct Running {
    /// (name, URL) of each.
    pub services: Vec<(&'static str, String)>,
}

/// Binds every port first, so that either all services run or none.
pub fn start(environment: impl Fn(&str) -> Option<String>) -> Result<Running, StartError> {
    let (mut registry, mut plans) = (ServiceRegistry::default(), Vec::new());
    for sample in &SERVICES {
        let port = port(sample.variable, sample.port, &environment)?;
        plans.push(ListenerPlan::plain(sample.name, SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        registry.add(InternalService::new(sample.name, (sample.router)()?));
    }
    let listeners = update(&[], &plans).map_err(port_in_use)?;
    let gateway = internal_gateway(registry, MAX_CONNECTIONS).map_err(StartError::Configuration)?;
    let echo = EchoSockets {
        tcp: bind(ECHO_TCP, &environment, echo::bind_tcp)?,
        udp: bind(ECHO_UDP, &environment, echo::bind_udp)?,
    };
    let urls = listeners.iter().map(|listener| format!("http://{}", listener.address()));
    let mut services: Vec<_> = SERVICES.iter().map(|sample| sample.name).zip(urls).collect();
    services.push((ECHO_TCP.0, format!("tcp://{}", echo.tcp.local_addr()?)));
    services.push((ECHO_UDP.0, format!("udp://{}", echo.udp.local_addr()?)));
    spawn(Worker { index: 0, gateway }, listeners, echo)?;
    Ok(Running { services })
}

/// Binds a service without HTTP.
fn bind<Socket>(
    (name, variable, default): (&'static str, &'static str, u16),
    environment: &impl Fn(&str) -> Option<String>,
    bind: fn(u16) -> io::Result<Socket>,
) -> Result<Socket, StartError> {
    let port = port(variable, default, environment)?;
    bind(port).map_err(|source| StartError::PortInUse { name, variable, port, source })
}

fn port(
    variable: &'static str,
    default: u16,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<u16, StartError> {
    match environment(variable).filter(|value| !value.is_empty()) {
        None => Ok(default),
        Some(value) => value.parse().map_err(|_| StartError::NotAPort { variable, value }),
    }
}

fn port_in_use(failed: BindError) -> StartError {
    let BindError { name, address, error } = failed;
    match (SERVICES.iter().find(|sample| sample.name == name), address) {
        (Some(sample), Address::Tcp(address)) => StartError::PortInUse {
            name: sample.name,
            variable: sample.variable,
            port: address.port(),
            source: error,
        },
        _ => StartError::Start(error),
    }
}

/// Serves on a separate thread.
fn spawn(worker: Worker, listeners: Listeners, echo: EchoSockets) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    {
        let _entered = runtime.enter();
        echo.spawn()?;
    }
    let serve = move || {
        // Kept for the lifetime of the process: without it the worker would end.
        let sender = tokio::sync::watch::Sender::new(listeners);
        runtime.block_on(serve_listeners(Arc::new(worker), sender.subscribe()));
    };
    std::thread::Builder::new().name("sample-services".into()).spawn(serve)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn all_services_respond_on_the_configured_ports() {
        let running = start(|_| Some("0".into())).unwrap();
        assert_eq!(
            running.services.iter().map(|s| s.0).collect::<Vec<_>>(),
            [
                "catalog-1",
                "catalog-2",
                "orders",
                "echo",
                "identity",
                "flaky",
                "events",
                "live",
                "till",
                "echo-tcp",
                "echo-udp"
            ]
        );
        let address = running.services[1].1.strip_prefix("http://").unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /items HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.contains("x-instance: catalog-2"), "{response}");
    }

    #[test]
    fn the_error_of_a_port_in_use_names_the_variable_to_set() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let error =
            start(|name| Some(if name == "ORDERS_PORT" { port.clone() } else { "0".into() })).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&port) && text.ends_with("set ORDERS_PORT to another port"), "{text}");
    }

    #[test]
    fn an_invalid_port_names_its_variable() {
        let error = start(|_| Some("high".into())).unwrap_err();
        assert_eq!(error.to_string(), "CATALOG_PORT=high is not a port: set it to a number from 1 to 65535");
    }
}
