//! Consul: blocking queries where the server has them, looks at intervals (or on request) where it has not.
//!
//! Source: Consul's HTTP API, "Health"; Ocelot, Service Discovery, Consul.

mod agent;
mod answer;
pub mod kv;

use super::{Provider, Service, Settings, Told};
use crate::base::url::HttpUrl;
use agent::{AT_ONCE, Agent, INTERVAL, Next, Turns, index, put};
use answer::{Found, Rules};
use async_trait::async_trait;
use std::time::Instant;

/// Consul's usual port.
const PORT: u16 = 8500;

/// The services of a Consul agent.
#[derive(Debug)]
pub struct Consul {
    agent: Agent,
    /// Looks at intervals, whatever the server can.
    polls: bool,
}

impl Consul {
    /// `Consul`: sees changes as they come.
    pub fn watching(settings: &Settings) -> Consul {
        Consul { agent: Agent::new(settings), polls: false }
    }

    /// `PollConsul`: looks every `PollingInterval`.
    pub fn polling(settings: &Settings) -> Consul {
        Consul { agent: Agent::new(settings), polls: true }
    }

    /// Where the server is asked about a service.
    fn url(&self, service: &Service, turns: &Turns) -> HttpUrl {
        let settings = &self.agent.settings;
        let (consul, mut path) = (&settings.consul, "v1/health/service/".to_owned());
        put(&mut path, &service.name);
        path += "?passing";
        let mut add = |key: &str, value: &str| {
            path.push_str(key);
            put(&mut path, value);
        };
        if !consul.datacenter.is_empty() {
            add("&dc=", &consul.datacenter);
        }
        let namespace = if service.namespace.is_empty() { &settings.namespace } else { &service.namespace };
        if !namespace.is_empty() && !settings.ocelot {
            add("&ns=", namespace);
        }
        consul.tags.iter().for_each(|tag| add("&tag=", tag));
        if consul.stale {
            path += "&stale";
        }
        turns.put(&mut path);
        self.agent.at(&path)
    }

    /// One look; gives back what the server calls the answer.
    async fn look(
        &self,
        service: &Service,
        turns: &Turns,
        warned: &mut Vec<String>,
        told: &Told,
    ) -> Result<Option<u64>, String> {
        let (agent, settings) = (&self.agent, &self.agent.settings);
        let url = self.url(service, turns);
        told.look();
        let reply = agent.get(&url, turns.patience()).await?;
        let index = index(&reply);
        let nodes = if settings.consul.node_name {
            let nodes = agent.get(&agent.at("v1/catalog/nodes"), AT_ONCE).await?;
            answer::nodes(&nodes.body).map_err(|e| format!("{url}: {e}"))?
        } else {
            Vec::new()
        };
        let rules = Rules { consul: &settings.consul, ocelot: settings.ocelot };
        let Found { instances, warnings } =
            answer::read(&reply.body, &nodes, rules).map_err(|e| format!("{url}: {e}"))?;
        if warnings != *warned {
            warnings.iter().for_each(|warning| log::warn!("{}: {}: {warning}", agent.label, service.name));
            *warned = warnings;
        }
        told.on_request(self.is_asked_by_requests() && index.is_none());
        told.tell(instances);
        Ok(index)
    }

    /// Waits until it is time for another look.
    async fn rest(&self, next: Next, turns: &mut Turns, told: &Told) {
        let interval = self.agent.settings.interval.unwrap_or(INTERVAL);
        match next {
            _ if self.polls => {
                turns.begin_anew();
                tokio::time::sleep(interval).await;
            }
            Next::Held(pause) => tokio::time::sleep(pause).await,
            Next::Free if self.is_asked_by_requests() => told.wished().await,
            Next::Free => tokio::time::sleep(interval).await,
        }
    }
}

#[async_trait]
impl Provider for Consul {
    fn label(&self) -> &str {
        &self.agent.label
    }

    fn is_asked_by_requests(&self) -> bool {
        self.agent.settings.ocelot && !self.polls
    }

    async fn follow(&self, service: &Service, told: &Told) -> String {
        let (mut turns, mut warned) = (Turns::default(), Vec::new());
        loop {
            let asked = Instant::now();
            match self.look(service, &turns, &mut warned, told).await {
                Ok(index) => {
                    let next = turns.next(index, asked.elapsed());
                    self.rest(next, &mut turns, told).await;
                }
                Err(trouble) => return trouble,
            }
        }
    }
}

#[cfg(test)]
mod tests;
