//! Consul: blocking queries if the server supports them, otherwise queries at intervals or on request.
//!
//! Source: Consul's HTTP API, "Health"; Ocelot, Service Discovery, Consul. Entry point: [`Consul::watch`](Provider);
//! [`kv`] reads the gateway's own configuration from the KV store. Nothing here outlives the watch of a service except
//! the agent's HTTP client.

mod agent;
mod health_response;
pub mod kv;
mod settings;

pub use settings::ConsulSettings;

use super::{
    provider::{Provider, Service},
    service_state::InstanceSink,
};
use crate::base::url::HttpUrl;
use agent::{Agent, BlockingQuery, INTERVAL, NextQuery, RESPONSE_TIMEOUT, index, push_encoded};
use async_trait::async_trait;
use health_response::ParsedInstances;
use std::{collections::HashSet, time::Instant};

/// Discovers services in a Consul agent.
#[derive(Debug)]
pub struct Consul {
    agent: Agent,
}

impl Consul {
    /// Discovers services through the configured agent; the first query opens the connection.
    pub fn new(settings: &ConsulSettings) -> Consul {
        Consul { agent: Agent::new(settings) }
    }

    /// The URL of a query for a service.
    fn url(&self, service: &Service, query: &BlockingQuery) -> HttpUrl {
        let settings = &self.agent.settings;
        let mut path = "v1/health/service/".to_owned();
        push_encoded(&mut path, &service.name);
        path += "?passing";
        let mut add = |key: &str, value: &str| {
            path.push_str(key);
            push_encoded(&mut path, value);
        };
        if !settings.datacenter.is_empty() {
            add("&dc=", &settings.datacenter);
        }
        let namespace = if service.namespace.is_empty() { &settings.namespace } else { &service.namespace };
        if !namespace.is_empty() && !settings.ocelot {
            add("&ns=", namespace);
        }
        settings.tags.iter().for_each(|tag| add("&tag=", tag));
        if settings.allow_stale {
            path += "&stale";
        }
        query.push_wait_params(&mut path);
        self.agent.url(&path)
    }

    /// Queries the service once and publishes the instances; returns the index of the response.
    async fn query(
        &self,
        service: &Service,
        query: &BlockingQuery,
        warned: &mut Vec<String>,
        sink: &InstanceSink,
    ) -> Result<Option<u64>, String> {
        let (agent, settings) = (&self.agent, &self.agent.settings);
        let url = self.url(service, query);
        sink.begin_refresh();
        let response = agent.get(&url, query.response_timeout()).await?;
        let index = index(&response);
        let nodes = if settings.node_name {
            let nodes = agent.get(&agent.url("v1/catalog/nodes"), RESPONSE_TIMEOUT).await?;
            health_response::parse_nodes(&nodes.body).map_err(|e| format!("{url}: {e}"))?
        } else {
            Vec::new()
        };
        let ParsedInstances { instances, warnings } =
            health_response::parse(&response.body, &nodes, settings).map_err(|e| format!("{url}: {e}"))?;
        if warnings != *warned {
            warnings.iter().for_each(|warning| log::warn!("{}: {}: {warning}", agent.label, service.name));
            *warned = warnings;
        }
        sink.set_on_demand(self.is_on_demand() && index.is_none());
        sink.publish(instances);
        Ok(index)
    }

    /// Waits until the next query is due.
    async fn wait_until_next(&self, next: NextQuery, query: &mut BlockingQuery, sink: &InstanceSink) {
        let settings = &self.agent.settings;
        let interval = settings.interval.unwrap_or(INTERVAL);
        match next {
            _ if settings.polls => {
                query.reset_index();
                tokio::time::sleep(interval).await;
            }
            NextQuery::Blocking(delay) => tokio::time::sleep(delay).await,
            NextQuery::Unsupported if self.is_on_demand() => sink.refresh_requested().await,
            NextQuery::Unsupported => tokio::time::sleep(interval).await,
        }
    }
}

#[async_trait]
impl Provider for Consul {
    fn label(&self) -> &str {
        &self.agent.label
    }

    fn is_on_demand(&self) -> bool {
        self.agent.settings.ocelot && !self.agent.settings.polls
    }

    async fn service_names(&self) -> Result<Option<HashSet<String>>, String> {
        let settings = &self.agent.settings;
        let mut path = "v1/catalog/services?stale".to_owned();
        let parameters = [("&dc=", &settings.datacenter), ("&ns=", &settings.namespace)];
        for (key, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
            path += key;
            push_encoded(&mut path, value);
        }
        let url = self.agent.url(&path);
        let response = self.agent.get(&url, RESPONSE_TIMEOUT).await?;
        let services: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&response.body).map_err(|error| format!("{url}: {error}"))?;
        Ok(Some(services.into_iter().map(|(name, _)| name).collect()))
    }

    async fn watch(&self, service: &Service, sink: &InstanceSink) -> String {
        let (mut query, mut warned) = (BlockingQuery::default(), Vec::new());
        loop {
            let started_at = Instant::now();
            match self.query(service, &query, &mut warned, sink).await {
                Ok(index) => {
                    let next = query.next(index, started_at.elapsed());
                    self.wait_until_next(next, &mut query, sink).await;
                }
                Err(error) => return error,
            }
        }
    }
}

#[cfg(test)]
mod tests;
