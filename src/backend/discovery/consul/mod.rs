//! Consul: blocking queries where the server has them, looks at intervals (or on request) where it has not.
//!
//! Source: Consul's HTTP API, "Health"; Ocelot, Service Discovery, Consul.

mod agent;
mod health_response;
pub mod kv;

use super::{InstanceSink, Provider, ProviderSettings, Service};
use crate::base::url::HttpUrl;
use agent::{Agent, BlockingQuery, INTERVAL, MAX_PARALLEL_REQUESTS, QueryMode, index, push_wait_params};
use async_trait::async_trait;
use health_response::{ParseOptions, ParsedInstances};
use std::time::Instant;

/// Consul's usual port.
const PORT: u16 = 8500;

/// The services of a Consul agent.
#[derive(Debug)]
pub struct Consul {
    agent: Agent,
    /// Looks at intervals, whatever the server can.
    poll_interval: bool,
}

impl Consul {
    /// `Consul`: sees changes as they come.
    pub fn watch_mode(settings: &ProviderSettings) -> Consul {
        Consul { agent: Agent::new(settings), poll_interval: false }
    }

    /// `PollConsul`: looks every `PollingInterval`.
    pub fn poll_mode(settings: &ProviderSettings) -> Consul {
        Consul { agent: Agent::new(settings), poll_interval: true }
    }

    /// Where the server is asked about a service.
    fn url(&self, service: &Service, turns: &BlockingQuery) -> HttpUrl {
        let settings = &self.agent.settings;
        let (consul, mut path) = (&settings.consul, "v1/health/service/".to_owned());
        push_wait_params(&mut path, &service.name);
        path += "?passing";
        let mut add = |key: &str, value: &str| {
            path.push_str(key);
            push_wait_params(&mut path, value);
        };
        if !consul.datacenter.is_empty() {
            add("&dc=", &consul.datacenter);
        }
        let namespace = if service.namespace.is_empty() { &settings.namespace } else { &service.namespace };
        if !namespace.is_empty() && !settings.ocelot {
            add("&ns=", namespace);
        }
        consul.tags.iter().for_each(|tag| add("&tag=", tag));
        if consul.allow_stale {
            path += "&stale";
        }
        turns.push_wait_params(&mut path);
        self.agent.url(&path)
    }

    /// One look; gives back what the server calls the answer.
    async fn query(
        &self,
        service: &Service,
        turns: &BlockingQuery,
        warned: &mut Vec<String>,
        told: &InstanceSink,
    ) -> Result<Option<u64>, String> {
        let (agent, settings) = (&self.agent, &self.agent.settings);
        let url = self.url(service, turns);
        told.begin_refresh();
        let reply = agent.get(&url, turns.response_timeout()).await?;
        let index = index(&reply);
        let nodes = if settings.consul.node_name {
            let nodes = agent.get(&agent.url("v1/catalog/nodes"), MAX_PARALLEL_REQUESTS).await?;
            health_response::nodes(&nodes.body).map_err(|e| format!("{url}: {e}"))?
        } else {
            Vec::new()
        };
        let rules = ParseOptions { consul: &settings.consul, ocelot: settings.ocelot };
        let ParsedInstances { instances, warnings } =
            health_response::read(&reply.body, &nodes, rules).map_err(|e| format!("{url}: {e}"))?;
        if warnings != *warned {
            warnings.iter().for_each(|warning| log::warn!("{}: {}: {warning}", agent.label, service.name));
            *warned = warnings;
        }
        told.set_on_demand(self.is_on_demand() && index.is_none());
        told.publish(instances);
        Ok(index)
    }

    /// Waits until it is time for another look.
    async fn wait_until_next(&self, next: QueryMode, turns: &mut BlockingQuery, told: &InstanceSink) {
        let interval = self.agent.settings.interval.unwrap_or(INTERVAL);
        match next {
            _ if self.poll_interval => {
                turns.reset_index();
                tokio::time::sleep(interval).await;
            }
            QueryMode::Blocking(pause) => tokio::time::sleep(pause).await,
            QueryMode::Immediate if self.is_on_demand() => told.refresh_requested().await,
            QueryMode::Immediate => tokio::time::sleep(interval).await,
        }
    }
}

#[async_trait]
impl Provider for Consul {
    fn label(&self) -> &str {
        &self.agent.label
    }

    fn is_on_demand(&self) -> bool {
        self.agent.settings.ocelot && !self.poll_interval
    }

    async fn watch(&self, service: &Service, told: &InstanceSink) -> String {
        let (mut turns, mut warned) = (BlockingQuery::default(), Vec::new());
        loop {
            let asked = Instant::now();
            match self.query(service, &turns, &mut warned, told).await {
                Ok(index) => {
                    let next = turns.next(index, asked.elapsed());
                    self.wait_until_next(next, &mut turns, told).await;
                }
                Err(trouble) => return trouble,
            }
        }
    }
}

#[cfg(test)]
mod tests;
