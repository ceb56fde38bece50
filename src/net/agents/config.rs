//! The compiled settings of tunnels: which agents there are, how they prove who they are, and who may reach them.

use crate::pipeline::sas::SasKey;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// What a policy allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Request streams.
    pub service_connect: bool,
    /// Be any agent.
    pub device_connect: bool,
    /// See the list of agents.
    pub registry_read: bool,
}

/// Keys with rights that belong to no agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyConfig {
    pub name: Box<str>,
    pub rights: Rights,
    pub keys: Vec<SasKey>,
}

/// A client certificate that is accepted as a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateProof {
    /// The SHA-256 of the certificate.
    Sha256([u8; 32]),
    /// A DNS name or the common name of a verified certificate.
    Name(Box<str>),
    /// The id of the agent is such a name.
    OwnId,
}

/// Who may request streams to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectRule {
    /// The holders of a key of the policy; `None`: of any policy with the right.
    Policy(Option<Box<str>>),
    /// The caller with this claim `sub`.
    Subject(Box<str>),
    /// Routes and transport routes of the configuration.
    Routes,
    /// Everyone that the route of the connector admits.
    Anyone,
}

/// Limits of all agents, or of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelLimits {
    pub max_agents: usize,
    pub max_streams: usize,
    pub max_streams_per_agent: usize,
    /// The rate of new streams of an agent, which is the burst too.
    pub new_streams_per_second: u32,
    pub bytes_per_second: Option<u64>,
    pub bytes_per_day: Option<u64>,
    pub idle_timeout: Duration,
    pub max_stream_duration: Option<Duration>,
    /// The time in which the agent must reach the service.
    pub connect_timeout: Duration,
    pub max_stream_window: u32,
    pub max_connection_window: u32,
    /// How long a request waits for an agent that is not connected.
    pub wait_for_agent: Duration,
}

impl Default for TunnelLimits {
    fn default() -> TunnelLimits {
        TunnelLimits {
            max_agents: 10_000,
            max_streams: 10_000,
            max_streams_per_agent: 256,
            new_streams_per_second: 100,
            bytes_per_second: None,
            bytes_per_day: None,
            idle_timeout: Duration::from_secs(3600),
            max_stream_duration: None,
            connect_timeout: Duration::from_secs(5),
            max_stream_window: 16 << 20,
            max_connection_window: 64 << 20,
            wait_for_agent: Duration::ZERO,
        }
    }
}

/// One agent, or many with a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// The id, or its beginning.
    pub name: Box<str>,
    /// The name ends with `*` in the document.
    pub is_pattern: bool,
    pub keys: Vec<SasKey>,
    pub certificates: Vec<CertificateProof>,
    pub subjects: Vec<Box<str>>,
    pub is_enabled: bool,
    /// The services that may be offered; `None`: any.
    pub services: Option<Vec<Box<str>>>,
    pub connect: Vec<ConnectRule>,
    pub instances: usize,
    pub limits: TunnelLimits,
}

impl AgentConfig {
    /// The name as written, for metrics, logs and explain.
    pub fn label(&self) -> String {
        format!("{}{}", self.name, if self.is_pattern { "*" } else { "" })
    }

    /// The keys of the agent with this id: those of a pattern are derived.
    pub fn keys_of(&self, id: &str) -> Vec<SasKey> {
        let keys = self.keys.iter();
        if self.is_pattern { keys.map(|key| key.derive(id)).collect() } else { keys.cloned().collect() }
    }

    /// Whether the agent may offer the service.
    pub fn allows_service(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.iter().any(|name| **name == *service))
    }
}

/// The format of the log lines of device streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamLogFormat {
    #[default]
    Own,
    /// Handshakes in the shape of Azure IoT Hub too.
    Azure,
}

/// Device streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStreamsConfig {
    pub host_names: Vec<Box<str>>,
    /// `wss://host[:port]`, without a final slash.
    pub public_url: Box<str>,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub handshake_timeout: Duration,
    pub log_format: StreamLogFormat,
}

/// All settings of tunnels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelsConfig {
    pub policies: Vec<PolicyConfig>,
    /// Agents with their own entry, by id.
    agents: HashMap<Box<str>, Arc<AgentConfig>>,
    /// The longest first.
    patterns: Vec<Arc<AgentConfig>>,
    pub limits: TunnelLimits,
    pub device_streams: Option<DeviceStreamsConfig>,
}

impl TunnelsConfig {
    /// The settings of these policies and agents.
    pub fn new(
        policies: Vec<PolicyConfig>,
        all: Vec<AgentConfig>,
        limits: TunnelLimits,
        device_streams: Option<DeviceStreamsConfig>,
    ) -> TunnelsConfig {
        let (patterns, agents): (Vec<_>, Vec<_>) = all.into_iter().map(Arc::new).partition(|a| a.is_pattern);
        let mut config = TunnelsConfig { policies, patterns, limits, device_streams, ..Default::default() };
        config.agents = agents.into_iter().map(|agent| (agent.name.clone(), agent)).collect();
        config.patterns.sort_by_key(|agent| std::cmp::Reverse(agent.name.len()));
        config
    }

    /// The entry of an agent: its own, or the longest pattern.
    pub fn agent(&self, id: &str) -> Option<&Arc<AgentConfig>> {
        let pattern = || self.patterns.iter().find(|agent| id.starts_with(&*agent.name));
        self.agents.get(id).or_else(pattern)
    }

    /// The policy of that name.
    pub fn policy(&self, name: &str) -> Option<&PolicyConfig> {
        self.policies.iter().find(|policy| *policy.name == *name)
    }

    /// The agents with their own entry, in the order of their ids.
    pub fn own_entries(&self) -> Vec<&Arc<AgentConfig>> {
        let mut entries: Vec<_> = self.agents.values().collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_entry_precedes_the_longest_pattern() {
        let agent = |name: &str| AgentConfig {
            name: name.trim_end_matches('*').into(),
            is_pattern: name.ends_with('*'),
            keys: Vec::new(),
            certificates: Vec::new(),
            subjects: Vec::new(),
            is_enabled: true,
            services: None,
            connect: Vec::new(),
            instances: 1,
            limits: TunnelLimits::default(),
        };
        let agents = ["*", "cam*", "cam1*", "cam12"].map(agent).into();
        let config = TunnelsConfig::new(Vec::new(), agents, TunnelLimits::default(), None);
        let found = |id: &str| config.agent(id).map(|agent| agent.label());
        assert_eq!(found("cam12").as_deref(), Some("cam12"));
        assert_eq!(found("cam13").as_deref(), Some("cam1*"));
        assert_eq!(found("cam2").as_deref(), Some("cam*"));
        assert_eq!(found("x").as_deref(), Some("*"));
    }
}
