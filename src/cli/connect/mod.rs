//! `margay connect`: reaches the service of an agent through a gateway, for local clients or for standard input and output
//! (the `ProxyCommand` of ssh).
//!
//! Entry point: [`run`]. All local connections share one connection to the gateway, which is opened again when it is lost.

pub mod arguments;
mod session;
mod standard;

use super::{
    Exit,
    tunnel::{credentials::Credentials, gateway::GatewayClient},
};
use crate::{
    net::agents::{
        connector_side::StreamError,
        names::{is_agent_id, is_service_name},
        relay::relay_socket,
        socket::LocalSocket,
    },
    telemetry::process_log::notice,
};
use arguments::ConnectCommand;
use session::SharedSession;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Runs the connector.
pub fn run(command: &ConnectCommand) -> Exit {
    let session = match shared_session(command) {
        Ok(session) => session,
        Err(why) => return Exit::usage(&why),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failed(&error.to_string()),
    };
    runtime.block_on(async {
        match command.listen {
            Some(address) => listen(address, session).await,
            None => stdio(session).await,
        }
    })
}

fn shared_session(command: &ConnectCommand) -> Result<Arc<SharedSession>, String> {
    if !is_agent_id(&command.agent) || !is_service_name(&command.service) {
        return Err("invalid --agent or --service: an id has letters, digits and -._~:@, a service letters, digits and -_.".to_owned());
    }
    let client = GatewayClient::new(&command.gateway, &command.options)?;
    let credentials = Credentials::read(&command.options, command.policy.as_deref())?;
    Ok(Arc::new(SharedSession::new(client, credentials, command)))
}

/// Serves local clients until a signal ends the process.
async fn listen(address: SocketAddr, session: Arc<SharedSession>) -> Exit {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => return Exit::failed(&format!("cannot listen on {address}: {error}")),
    };
    notice(&format!("{address} is {} of {}", session.service, session.agent));
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return Exit::failed("cannot wait for signals");
    };
    // Connects early, so that the first client need not wait.
    let early = session.clone();
    drop(tokio::spawn(async move { early.prepare().await }));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(serve_client(stream, session.clone()))),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            _ = terminate.recv() => return Exit::Done,
            _ = interrupt.recv() => return Exit::Done,
        }
    }
}

async fn serve_client(stream: tokio::net::TcpStream, session: Arc<SharedSession>) {
    let _ = stream.set_nodelay(true);
    let socket = LocalSocket::Tcp(stream);
    match session.open().await {
        Ok(stream) => drop(relay_socket(stream, socket).await),
        Err(error) => {
            notice(&describe(&error));
            socket.reset_on_close();
        }
    }
}

fn describe(error: &StreamError) -> String {
    match error {
        StreamError::Lost => "no connection to the gateway".to_owned(),
        StreamError::Refused { code, detail } => format!("{code}: {detail}"),
    }
}

/// Joins standard input and output to one stream. The end of the service ends the command; standard input may stay open.
async fn stdio(session: Arc<SharedSession>) -> Exit {
    let stream = match session.open().await {
        Ok(stream) => stream,
        Err(error) => return Exit::failed(&describe(&error)),
    };
    let (mut sender, mut receiver) = (stream.sender, stream.receiver);
    let upload = async {
        let mut input = standard::input();
        while let Some(bytes) = input.recv().await {
            if sender.send(bytes).await.is_err() {
                return false;
            }
        }
        sender.finish().is_ok()
    };
    let download = async {
        let output = standard::output();
        loop {
            match receiver.next().await {
                Ok(None) => return output.finish().await,
                Ok(Some(bytes)) => {
                    if !output.write(bytes).await {
                        return true;
                    }
                }
                Err(_) => return false,
            }
        }
    };
    let mut download = std::pin::pin!(download);
    let is_regular = tokio::select! {
        ended = &mut download => ended,
        is_sent = upload => is_sent && download.await,
    };
    if is_regular { Exit::Done } else { Exit::failed("the connection was reset") }
}
