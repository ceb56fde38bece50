//! `margay agent`: keeps outbound connections to gateways, and connects their streams to services near it (rathole and frp:
//! the client; cloudflared).
//!
//! Entry points: [`run`], and [`start`] for an agent within another command. [`connections`] keeps the connections to one gateway, [`settings`] reads the command line and the
//! file, [`health`] serves the health address. The protocol is in `net::agents`.

pub mod arguments;
mod connections;
mod health;
mod reload;
mod settings;

use super::{
    Exit,
    tunnel::{
        arguments::GatewayOptions,
        credentials::Credentials,
        gateway::{AttemptError, GatewayClient},
    },
};
use crate::{
    net::agents::{
        agent_side::{AgentContext, AgentStop},
        service_target::ServiceTarget,
    },
    pipeline::sas::SasKey,
    telemetry::process_log::notice,
};
use arguments::AgentCommand;
use connections::{GatewayConnections, GatewayState};
use settings::AgentSettings;
use std::{sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// How long open streams may continue after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(32);

/// Runs the agent until it is stopped.
pub fn run(command: &AgentCommand) -> Exit {
    let settings = match AgentSettings::read(command) {
        Ok(settings) => settings,
        Err(why) => return Exit::usage(&why),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failed(&error.to_string()),
    };
    runtime.block_on(async {
        match command.once || command.check {
            true => run_once(command, &settings).await,
            false => run_until_stopped(command, settings).await,
        }
    })
}

/// Starts an agent with one service on a separate thread, for the rest of the process.
///
/// # Errors
///
/// The gateway or the service is invalid, or the thread cannot start.
pub fn start(id: &str, gateway: &str, service: &str, key: SasKey) -> Result<(), String> {
    let gateway = GatewayClient::new(gateway, &GatewayOptions::default())?;
    let settings = AgentSettings {
        id: id.to_owned(),
        gateways: vec![gateway.clone()],
        services: vec![ServiceTarget::parse(service)?],
        credentials: Credentials::Key { key, policy: None },
        allowed_clients: None,
    };
    let failed = |error: std::io::Error| format!("the agent {id} cannot start: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let keep = move || {
        // Dropping the sender would stop the agent.
        let (_stop, stopped) = watch::channel(AgentStop::No);
        let context = context(&settings);
        let connections = GatewayConnections::new(&settings, &gateway, &context, &instance(), 1, &stopped);
        runtime.block_on(connections.keep());
    };
    std::thread::Builder::new().name("agent".into()).spawn(keep).map(drop).map_err(failed)
}

/// What the connections of all gateways share.
fn context(settings: &AgentSettings) -> Arc<AgentContext> {
    Arc::new(AgentContext::new(settings.services.clone(), settings.allowed_clients.clone()))
}

/// The 16 digits of this process.
fn instance() -> String {
    format!("{:016x}", fastrand::u64(..))
}

async fn run_once(command: &AgentCommand, settings: &AgentSettings) -> Exit {
    let context = context(settings);
    let (_stop, stopped) = watch::channel(AgentStop::No);
    for gateway in &settings.gateways {
        let connections = GatewayConnections::new(settings, gateway, &context, &instance(), 1, &stopped);
        let io = match connections.attempt().await {
            Ok(io) => io,
            Err(AttemptError::Refused(why)) => {
                return Exit::failed(&format!("{} refused: {why}", gateway.url));
            }
            Err(AttemptError::Failed(why)) => return Exit::failed(&format!("{}: {why}", gateway.url)),
        };
        notice(&format!(
            "{} accepts the agent {} with the services {}",
            gateway.url,
            settings.id,
            context.offer()
        ));
        if !command.check {
            connections.serve(io).await;
        }
    }
    Exit::Done
}

async fn run_until_stopped(command: &AgentCommand, settings: AgentSettings) -> Exit {
    let context = context(&settings);
    let (stop, stopped) = watch::channel(AgentStop::No);
    let instance = instance();
    let mut tasks = tokio::task::JoinSet::new();
    let mut states: Vec<Arc<GatewayState>> = Vec::new();
    for gateway in &settings.gateways {
        if gateway.is_exposed() {
            notice(&format!("{} has no TLS: tokens and bytes can be read on the network", gateway.url));
        }
        let max = usize::from(command.connections);
        let connections = GatewayConnections::new(&settings, gateway, &context, &instance, max, &stopped);
        states.push(connections.state.clone());
        tasks.spawn(connections.keep());
    }
    if let Some(address) = command.health
        && let Err(error) = health::start(address, states, context.clone()).await
    {
        return Exit::failed(&format!("cannot listen on {address}: {error}"));
    }
    let _watching = match reload::watch(command.clone(), context.clone()) {
        Ok(watching) => watching,
        Err(error) => return Exit::failed(&format!("cannot watch the files: {error}")),
    };
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return Exit::failed("cannot wait for signals");
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.send_replace(AgentStop::Graceful);
    let ended = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, ended).await;
    Exit::Done
}
