//! Why a stream to the service of an agent is not opened.

use crate::pipeline::error::{ErrorCode, GatewayError};

/// When a client may try again to reach an agent that is not connected.
const RETRY_AFTER_SECONDS: &str = "5";

/// The reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentError {
    /// No entry of `Tunnels.Agents` fits the id.
    Unknown,
    Disabled,
    Offline,
    /// The service is not offered, or may not be.
    Service,
    Access,
    /// The agent did not reach the service; its own words.
    Connect(String),
    ConnectTimeout,
    StreamLimit,
    /// The connection of the agent was lost.
    Lost,
}

impl AgentError {
    /// The error code.
    pub fn code(&self) -> ErrorCode {
        match self {
            AgentError::Unknown => ErrorCode::AgentUnknown,
            AgentError::Disabled => ErrorCode::AgentDisabled,
            AgentError::Offline => ErrorCode::AgentOffline,
            AgentError::Service => ErrorCode::AgentService,
            AgentError::Access => ErrorCode::AgentAccess,
            AgentError::Connect(_) => ErrorCode::AgentConnect,
            AgentError::ConnectTimeout => ErrorCode::AgentConnectTimeout,
            AgentError::StreamLimit => ErrorCode::AgentStreamLimit,
            AgentError::Lost => ErrorCode::BackendReset,
        }
    }

    /// The error of an exchange with the service of this agent.
    pub fn into_gateway_error(self, agent: &str, service: &str) -> GatewayError {
        let code = self.code();
        let detail = match self {
            AgentError::Unknown => format!("no entry of Tunnels.Agents fits the agent \"{agent}\""),
            AgentError::Disabled => format!("the agent \"{agent}\" is disabled"),
            AgentError::Offline => format!("the agent \"{agent}\" is not connected"),
            AgentError::Service => format!("the agent \"{agent}\" does not offer the service \"{service}\""),
            AgentError::Access => format!("Connect of the agent \"{agent}\" does not allow this caller"),
            AgentError::Connect(reason) => {
                format!("the agent \"{agent}\" did not reach the service \"{service}\": {reason}")
            }
            AgentError::ConnectTimeout => {
                format!("the agent \"{agent}\" did not reach the service \"{service}\" in time")
            }
            AgentError::StreamLimit => format!("the agent \"{agent}\" has too many streams"),
            AgentError::Lost => format!("the connection of the agent \"{agent}\" was lost"),
        };
        let error = GatewayError::new(code, detail);
        match code {
            ErrorCode::AgentOffline | ErrorCode::AgentStreamLimit => error.with_details(|details| {
                details.headers.push(("Retry-After".into(), RETRY_AFTER_SECONDS.to_owned()));
            }),
            _ => error,
        }
    }
}
