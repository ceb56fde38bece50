//! Clients that are bots: by user agent, by address, and by the reverse DNS name of those that claim to be a known bot.

use crate::base::ip_set::IpSet;
use crate::waf::policy::exclusion::PathPattern;
use std::net::IpAddr;

/// The bots of a policy.
#[derive(Clone, Debug, Default)]
pub struct BotsConfig {
    /// Whether they are rejected; otherwise logged.
    pub is_blocking: bool,
    /// Parts of user agents, in lowercase.
    pub agents: Vec<Vec<u8>>,
    /// Patterns of whole user agents, in lowercase.
    pub agent_patterns: Vec<PathPattern>,
    /// Addresses.
    pub addresses: IpSet,
    /// Whether a request without a user agent is one of a bot.
    pub blocks_empty_agent: bool,
    /// Bots that are verified.
    pub verified: Vec<VerifiedBot>,
}

/// A bot whose addresses have names of these domains.
#[derive(Clone, Debug)]
pub struct VerifiedBot {
    /// A part of the user agent, in lowercase.
    pub agent: Vec<u8>,
    /// The domains.
    pub domains: Vec<String>,
}

/// Why a client is a bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotReason {
    /// Its user agent.
    Agent,
    /// Its address.
    Address,
    /// It has no user agent.
    EmptyAgent,
}

impl BotReason {
    /// The message in the log.
    pub fn message(self) -> &'static str {
        match self {
            Self::Agent => "User agent of a bot",
            Self::Address => "Address of a bot",
            Self::EmptyAgent => "No user agent",
        }
    }

    /// The part in the log.
    pub fn part(self) -> &'static str {
        match self {
            Self::Address => "client address",
            Self::Agent | Self::EmptyAgent => "header User-Agent",
        }
    }
}

impl BotsConfig {
    /// Why a client is a bot; none if it is not.
    pub fn find(&self, agent: &[u8], address: IpAddr) -> Option<BotReason> {
        if self.addresses.contains(address) {
            return Some(BotReason::Address);
        }
        if agent.trim_ascii().is_empty() {
            return self.blocks_empty_agent.then_some(BotReason::EmptyAgent);
        }
        if self.agents.is_empty() && self.agent_patterns.is_empty() {
            return None;
        }
        let agent = agent.to_ascii_lowercase();
        let is_bot = self.agents.iter().any(|part| crate::waf::bytes::contains(&agent, part))
            || self.agent_patterns.iter().any(|pattern| pattern.is_match(&agent));
        is_bot.then_some(BotReason::Agent)
    }

    /// The known bot that a client claims to be.
    pub fn claimed(&self, agent: &[u8]) -> Option<&VerifiedBot> {
        if self.verified.is_empty() {
            return None;
        }
        let agent = agent.to_ascii_lowercase();
        self.verified.iter().find(|bot| crate::waf::bytes::contains(&agent, &bot.agent))
    }
}
