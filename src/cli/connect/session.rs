//! The connection to the gateway that all local connections share.

use super::arguments::ConnectCommand;
use crate::{
    cli::tunnel::{
        backoff::Backoff,
        credentials::Credentials,
        gateway::{AttemptError, GatewayClient, TunnelProtocol},
    },
    net::agents::{
        connector_side::{ConnectorSession, StreamError},
        names::{CONNECT_PROTOCOL, CONNECT_SUBPROTOCOL},
        stream::TunnelStream,
    },
};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The session, opened when it is needed.
pub struct SharedSession {
    client: GatewayClient,
    credentials: Credentials,
    pub agent: String,
    pub service: String,
    timeout: Duration,
    /// The session and its number.
    current: Mutex<(u64, Option<ConnectorSession>)>,
}

impl SharedSession {
    /// No connection yet.
    pub fn new(client: GatewayClient, credentials: Credentials, command: &ConnectCommand) -> SharedSession {
        SharedSession {
            client,
            credentials,
            agent: command.agent.clone(),
            service: command.service.clone(),
            timeout: Duration::from_secs(command.timeout),
            current: Mutex::default(),
        }
    }

    /// Connects, if there is no connection.
    pub async fn prepare(&self) {
        let _ = self.session(Instant::now() + self.timeout).await;
    }

    /// Opens a stream; a lost connection is opened again until the timeout.
    pub async fn open(&self) -> Result<TunnelStream, StreamError> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let (number, session) = self.session(deadline).await?;
            match session.connect(&self.agent, &self.service).await {
                Err(StreamError::Lost) if Instant::now() < deadline => self.forget(number).await,
                outcome => return outcome,
            }
        }
    }

    /// The current session, or a new one.
    async fn session(&self, deadline: Instant) -> Result<(u64, ConnectorSession), StreamError> {
        let mut current = self.current.lock().await;
        if let (number, Some(session)) = &*current {
            return Ok((*number, session.clone()));
        }
        let session = self.connect(deadline).await?;
        current.0 += 1;
        current.1 = Some(session.clone());
        Ok((current.0, session))
    }

    async fn forget(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.0 == number {
            current.1 = None;
        }
    }

    /// Connects to the gateway; a refusal is an error at once.
    async fn connect(&self, deadline: Instant) -> Result<ConnectorSession, StreamError> {
        let mut backoff = Backoff::default();
        loop {
            tokio::time::sleep(backoff.next_pause()).await;
            let authorization = self.credentials.authorization(&self.agent);
            let fields = authorization.map(|value| ("Authorization", value)).into_iter().collect();
            let protocol = TunnelProtocol { protocol: CONNECT_PROTOCOL, subprotocol: CONNECT_SUBPROTOCOL };
            match self.client.connect(protocol, fields).await {
                Ok(io) => {
                    if let Ok((session, driven)) = ConnectorSession::open(io).await {
                        drop(tokio::spawn(driven));
                        return Ok(session);
                    }
                }
                Err(AttemptError::Refused(detail)) => {
                    return Err(StreamError::Refused { code: self.client.url.clone(), detail });
                }
                Err(AttemptError::Failed(why)) => log::info!("{}: {why}", self.client.url),
            }
            if Instant::now() >= deadline {
                return Err(StreamError::Lost);
            }
        }
    }
}
