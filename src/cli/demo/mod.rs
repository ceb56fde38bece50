//! The sample services that `margay demo` puts behind the gateway, on loopback ports that `gateway.json` names too.

mod identity;
mod server;
mod services;

use super::args::Demo;
use super::{Exit, output};
use crate::stages::custom::StageRegistry;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One service: its name, the variable that names its port, and the port without it. The defaults stand in
/// `gateway.json` as `${CATALOG_PORT:-9101}` and so on.
struct DemoService {
    name: &'static str,
    variable: &'static str,
    port: u16,
    service: fn() -> io::Result<server::Service>,
}

const SERVICES: [DemoService; 7] = [
    DemoService {
        name: "catalog-1",
        variable: "CATALOG_PORT",
        port: 9101,
        service: || Ok(Arc::new(|r| services::catalog(1, r))),
    },
    DemoService {
        name: "catalog-2",
        variable: "CATALOG2_PORT",
        port: 9102,
        service: || Ok(Arc::new(|r| services::catalog(2, r))),
    },
    DemoService {
        name: "orders",
        variable: "ORDERS_PORT",
        port: 9103,
        service: || Ok(Arc::new(services::orders)),
    },
    DemoService { name: "echo", variable: "ECHO_PORT", port: 9104, service: || Ok(Arc::new(services::echo)) },
    DemoService {
        name: "identity",
        variable: "IDENTITY_PORT",
        port: 9105,
        service: || {
            identity::Identity::new().map(|one| -> server::Service { Arc::new(move |r| one.handle(r)) })
        },
    },
    DemoService {
        name: "flaky",
        variable: "FLAKY_PORT",
        port: 9106,
        service: || {
            let calls = AtomicU64::new(0);
            Ok(Arc::new(move |_| services::flaky(calls.fetch_add(1, Ordering::Relaxed) + 1)))
        },
    },
    DemoService {
        name: "events",
        variable: "EVENTS_PORT",
        port: 9107,
        service: || Ok(Arc::new(services::events)),
    },
];

/// Why the services do not run; each a sentence with its cure.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{variable}={value} is not a port: set it to a number from 1 to 65535")]
    NotAPort { variable: &'static str, value: String },
    #[error("port {port} for the sample service {name} is taken ({source}): set {variable} to another one")]
    PortInUse { name: &'static str, variable: &'static str, port: u16, source: io::Error },
    #[error("the sample services cannot start: {0}")]
    Start(#[from] io::Error),
}

/// `margay demo`: the services, then the gateway in front of them.
pub fn run(demo: &Demo, stages: &StageRegistry) -> Exit {
    let running = match start(|name| std::env::var(name).ok()) {
        Ok(running) => running,
        Err(failed) => return Exit::failed(&failed.to_string()),
    };
    for (name, address) in &running.services {
        output::write_stderr(&format!("margay: sample service {name} on http://{address}\n"));
    }
    if demo.services_only { wait() } else { super::run::run(&demo.run, stages) }
}

/// Until a signal ends the process, as it does by default.
fn wait() -> Exit {
    loop {
        std::thread::park();
    }
}

/// The sample services, running on a thread of their own for the rest of the process.
#[derive(Debug)]
pub struct Running {
    /// (name, address) of each.
    pub services: Vec<(&'static str, String)>,
}

/// A service and its socket.
type Bound = (&'static DemoService, TcpListener, server::Service);

/// Binds every port first, so that either all services run or none.
pub fn start(environment: impl Fn(&str) -> Option<String>) -> Result<Running, StartError> {
    let mut bound = Vec::new();
    for sample in &SERVICES {
        bound.push((sample, bind(sample, &environment)?, (sample.service)()?));
    }
    let address = |(s, l, _): &Bound| Ok((s.name, l.local_addr()?.to_string()));
    let services = bound.iter().map(address).collect::<io::Result<_>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("sample-services".into())
        .spawn(move || runtime.block_on(serve(bound)))?;
    Ok(Running { services })
}

fn bind(
    sample: &'static DemoService,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<TcpListener, StartError> {
    let DemoService { name, variable, .. } = *sample;
    let port = match environment(variable).filter(|value| !value.is_empty()) {
        None => sample.port,
        Some(value) => value.parse().map_err(|_| StartError::NotAPort { variable, value })?,
    };
    let taken = |source| StartError::PortInUse { name, variable, port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(taken)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(bound: Vec<Bound>) {
    for (sample, listener, service) in bound {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => drop(tokio::spawn(server::serve(listener, service))),
            Err(error) => eprintln!("margay: the sample service {} cannot start: {error}", sample.name),
        }
    }
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn all_services_answer_on_the_ports_asked_for() {
        let running = start(|_| Some("0".into())).unwrap();
        assert_eq!(
            running.services.iter().map(|s| s.0).collect::<Vec<_>>(),
            ["catalog-1", "catalog-2", "orders", "echo", "identity", "flaky", "events"]
        );
        let mut stream = std::net::TcpStream::connect(&running.services[1].1).unwrap();
        stream.write_all(b"GET /items HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("X-Instance: catalog-2"), "{answer}");
    }

    #[test]
    fn a_taken_port_names_the_variable_to_set() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let failed =
            start(|name| Some(if name == "ORDERS_PORT" { port.clone() } else { "0".into() })).unwrap_err();
        let text = failed.to_string();
        assert!(text.contains(&port) && text.ends_with("set ORDERS_PORT to another one"), "{text}");
    }

    #[test]
    fn a_variable_that_is_no_port_is_named() {
        let failed = start(|_| Some("high".into())).unwrap_err();
        assert_eq!(failed.to_string(), "CATALOG_PORT=high is not a port: set it to a number from 1 to 65535");
    }
}
