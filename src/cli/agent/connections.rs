//! The connections of an agent to one gateway: one to begin with, one in reserve while all have streams, and a new one after
//! each loss.

use super::settings::AgentSettings;
use crate::{
    cli::tunnel::{
        backoff::Backoff,
        credentials::Credentials,
        gateway::{AttemptError, GatewayClient, TunnelProtocol},
    },
    net::agents::{
        agent_side::{self, AgentContext, AgentStop},
        names::{AGENT_FIELD, AGENT_PROTOCOL, AGENT_SUBPROTOCOL, INSTANCE_FIELD, SERVICES_FIELD},
    },
    pipeline::upgrade::UpgradedIo,
    telemetry::process_log::notice,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};

/// How often the number of connections is checked.
const TICK: Duration = Duration::from_millis(100);
/// A connection in excess is closed after this time without streams.
const EXCESS_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause after a connection in reserve could not be opened.
const RESERVE_RETRY_DELAY: Duration = Duration::from_secs(5);
/// A refusal that does not change is logged again after this time.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(3600);

/// What the health address reports of a gateway.
#[derive(Debug)]
pub struct GatewayState {
    pub url: String,
    pub is_connected: AtomicBool,
    pub connections: AtomicUsize,
}

/// The connections to one gateway.
pub struct GatewayConnections {
    id: String,
    instance: String,
    client: GatewayClient,
    credentials: Credentials,
    context: Arc<AgentContext>,
    max_connections: usize,
    stop: watch::Receiver<AgentStop>,
    pub state: Arc<GatewayState>,
    backoff: Backoff,
    refused_at: Option<(Instant, String)>,
    /// A connection in reserve could not be opened; until then it is not tried again.
    reserve_after: Option<Instant>,
}

/// An open connection.
struct OpenConnection {
    streams: Arc<AtomicUsize>,
    stop: watch::Sender<AgentStop>,
    idle_since: Instant,
}

impl GatewayConnections {
    /// No connection yet.
    pub fn new(
        settings: &AgentSettings,
        client: &GatewayClient,
        context: &Arc<AgentContext>,
        instance: &str,
        max_connections: usize,
        stop: &watch::Receiver<AgentStop>,
    ) -> GatewayConnections {
        GatewayConnections {
            id: settings.id.clone(),
            instance: instance.to_owned(),
            client: client.clone(),
            credentials: settings.credentials.clone(),
            context: context.clone(),
            max_connections,
            stop: stop.clone(),
            state: Arc::new(GatewayState {
                url: client.url.clone(),
                is_connected: AtomicBool::new(false),
                connections: AtomicUsize::new(0),
            }),
            backoff: Backoff::default(),
            refused_at: None,
            reserve_after: None,
        }
    }

    /// Connects once.
    pub async fn attempt(&self) -> Result<Box<dyn UpgradedIo>, AttemptError> {
        let mut fields = vec![
            (AGENT_FIELD, self.id.clone()),
            (INSTANCE_FIELD, self.instance.clone()),
            (SERVICES_FIELD, self.context.offer()),
        ];
        fields.extend(self.credentials.authorization(&self.id).map(|value| ("Authorization", value)));
        let protocol = TunnelProtocol { protocol: AGENT_PROTOCOL, subprotocol: AGENT_SUBPROTOCOL };
        self.client.connect(protocol, fields).await
    }

    /// Serves one connection until it ends.
    pub async fn serve(&self, io: Box<dyn UpgradedIo>) {
        agent_side::serve(io, self.context.clone(), Arc::default(), self.stop.clone()).await;
    }

    /// Keeps connections until the agent is stopped, and until their streams have ended then.
    pub async fn keep(mut self) {
        let mut tasks: JoinSet<usize> = JoinSet::new();
        let mut open: Vec<(usize, OpenConnection)> = Vec::new();
        let (mut next_key, mut renew_at) =
            (0, self.credentials.renewal_interval().map(|after| Instant::now() + after));
        let mut stop = self.stop.clone();
        while *stop.borrow() == AgentStop::No {
            if (open.is_empty() || self.needs_reserve(&open))
                && let Some(connection) = self.open(&mut tasks, next_key, open.is_empty()).await
            {
                open.push((next_key, connection));
                next_key += 1;
            }
            self.close_spare(&mut open);
            if renew_at.is_some_and(|at| at <= Instant::now()) {
                renew_at = self.credentials.renewal_interval().map(|after| Instant::now() + after);
                self.renew();
            }
            // Without a connection the next attempt follows, after its own pause.
            let tick = if open.is_empty() { Duration::ZERO } else { TICK };
            tokio::select! {
                ended = tasks.join_next(), if !tasks.is_empty() => self.remove(ended.and_then(Result::ok), &mut open),
                () = tokio::time::sleep(tick) => {}
                _ = stop.changed() => {}
            }
        }
        for (_, connection) in &open {
            connection.stop.send_replace(AgentStop::Graceful);
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Whether every connection has streams, and one more is allowed.
    fn needs_reserve(&self, open: &[(usize, OpenConnection)]) -> bool {
        let may_try = self.reserve_after.is_none_or(|after| after <= Instant::now());
        may_try && open.len() < self.max_connections && open.iter().all(|(_, c)| c.streams.load(Relaxed) > 0)
    }

    /// Opens a connection; `is_first`: there is none, so a failure is followed by a pause.
    async fn open(
        &mut self,
        tasks: &mut JoinSet<usize>,
        key: usize,
        is_first: bool,
    ) -> Option<OpenConnection> {
        if is_first {
            let pause = self.backoff.next_pause();
            self.pause(pause).await?;
        }
        match self.attempt().await {
            Ok(io) => {
                if is_first {
                    notice(&format!("agent {} is connected to {}", self.id, self.client.url));
                    self.backoff.reset();
                }
                self.refused_at = None;
                Some(self.start(tasks, key, io))
            }
            Err(error) => {
                match is_first {
                    true => self.report(error).await,
                    false => self.reserve_after = Some(Instant::now() + RESERVE_RETRY_DELAY),
                }
                None
            }
        }
    }

    fn start(&self, tasks: &mut JoinSet<usize>, key: usize, io: Box<dyn UpgradedIo>) -> OpenConnection {
        let streams = Arc::<AtomicUsize>::default();
        let (stop, stopped) = watch::channel(AgentStop::No);
        self.state.is_connected.store(true, Relaxed);
        self.state.connections.fetch_add(1, Relaxed);
        let (context, counted) = (self.context.clone(), streams.clone());
        tasks.spawn(async move {
            agent_side::serve(io, context, counted, stopped).await;
            key
        });
        OpenConnection { streams, stop, idle_since: Instant::now() }
    }

    fn remove(&self, ended: Option<usize>, open: &mut Vec<(usize, OpenConnection)>) {
        let Some(ended) = ended else { return };
        open.retain(|(key, _)| *key != ended);
        self.state.connections.store(open.len(), Relaxed);
        if open.is_empty() {
            self.state.is_connected.store(false, Relaxed);
            if *self.stop.borrow() == AgentStop::No {
                notice(&format!("agent {} lost its connection to {}", self.id, self.client.url));
            }
        }
    }

    /// Logs a failure; a refusal is followed by a long pause.
    async fn report(&mut self, error: AttemptError) {
        match error {
            AttemptError::Failed(why) => log::info!("{}: {why}", self.client.url),
            AttemptError::Refused(why) => {
                let is_repeated = self
                    .refused_at
                    .as_ref()
                    .is_some_and(|(at, known)| *known == why && at.elapsed() < REFUSAL_LOG_INTERVAL);
                if !is_repeated {
                    notice(&format!("{} refused the agent {}: {why}", self.client.url, self.id));
                    self.refused_at = Some((Instant::now(), why));
                }
                let _ = self.pause(Backoff::refused_pause()).await;
                self.backoff.reset();
            }
        }
    }

    /// Waits; `None` if the agent is stopped meanwhile.
    async fn pause(&self, pause: Duration) -> Option<()> {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => Some(()),
            _ = stop.wait_for(|stop| *stop != AgentStop::No) => None,
        }
    }

    /// Closes one connection that has been idle for a while, if another one is idle too.
    fn close_spare(&self, open: &mut [(usize, OpenConnection)]) {
        let now = Instant::now();
        for (_, connection) in open.iter_mut().filter(|(_, c)| c.streams.load(Relaxed) > 0) {
            connection.idle_since = now;
        }
        let is_idle = |connection: &OpenConnection| {
            now.saturating_duration_since(connection.idle_since) >= EXCESS_IDLE_TIMEOUT
        };
        let idle = open.iter().filter(|(_, connection)| is_idle(connection)).count();
        let running = open.iter().filter(|(_, c)| *c.stop.borrow() == AgentStop::No).count();
        if idle >= 2 && running >= 2 {
            let spare = open.iter().rev().find(|(_, c)| is_idle(c) && *c.stop.borrow() == AgentStop::No);
            if let Some((_, connection)) = spare {
                connection.stop.send_replace(AgentStop::Graceful);
            }
        }
    }

    /// Announces a new token on all connections.
    fn renew(&self) {
        if let Some(token) = self.credentials.authorization(&self.id) {
            let line = serde_json::json!({ "token": token });
            self.context.announcements.send_replace(format!("{line}\n"));
        }
    }
}
