//! Endpoints behind agents: `agent:ID/SERVICE` in the place of a host.

use super::names::{is_agent_id, is_service_name};
use std::fmt;

/// The scheme of such a host.
const SCHEME: &str = "agent:";

/// The service of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AgentAddress {
    pub agent: String,
    pub service: String,
}

impl AgentAddress {
    /// Whether a host is meant to be the service of an agent.
    pub fn has_agent_scheme(host: &str) -> bool {
        host.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    }

    /// The two parts of `agent:ID/SERVICE`, which are not checked; `None` for other hosts.
    pub fn split(host: &str) -> Option<(&str, &str)> {
        if !AgentAddress::has_agent_scheme(host) {
            return None;
        }
        host[SCHEME.len()..].split_once('/')
    }

    /// The address; `None` if the host is not a valid `agent:ID/SERVICE`.
    pub fn parse(host: &str) -> Option<AgentAddress> {
        let (agent, service) = AgentAddress::split(host)?;
        (is_agent_id(agent) && is_service_name(service))
            .then(|| AgentAddress { agent: agent.to_owned(), service: service.to_owned() })
    }
}

impl fmt::Display for AgentAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.agent, self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_id_and_a_service() {
        let address = AgentAddress::parse("Agent:dev:1/ssh").unwrap();
        assert_eq!(address.to_string(), "agent:dev:1/ssh");
        for host in
            ["agent:", "agent:dev1", "agent:/ssh", "agent:dev1/", "agent:d v/ssh", "dev1/ssh", "agent:a/b/c"]
        {
            assert_eq!(AgentAddress::parse(host), None, "{host}");
        }
    }
}
