//! Consul: blocking queries where the server has them, looks at intervals (or on request) where it has not.
//!
//! Source: Consul's HTTP API, "Health" and "Features: Blocking Queries".

mod answer;

use super::{Provider, Service, Settings, Told, source::jittered};
use crate::{
    base::{percent, url::HttpUrl},
    wire::outbound::{Bounds, Client, Reply, Request},
};
use answer::{Found, Rules};
use async_trait::async_trait;
use std::time::{Duration, Instant};

/// Consul's usual port.
const PORT: u16 = 8500;
/// How long the server may hold a question; it adds up to a sixteenth.
const WAIT: Duration = Duration::from_secs(60);
/// An answer without waiting.
const AT_ONCE: Duration = Duration::from_secs(10);
/// The longest answer.
const LARGEST: usize = 8 << 20;
/// Between two looks at a server that does not hold questions.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two answers of a server that does, however fast its index moves.
const GAP: Duration = Duration::from_millis(20);

/// A Consul agent.
#[derive(Debug)]
pub struct Consul {
    label: String,
    settings: Settings,
    root: HttpUrl,
    client: Client,
    /// Looks at intervals, whatever the server can.
    polls: bool,
}

/// Where a service is followed from look to look.
#[derive(Debug, Default)]
struct Course {
    /// What the server called the last answer; 0: nothing to wait for.
    index: u64,
    /// What was warned of last, so that it is not said again.
    warned: Vec<String>,
}

impl Consul {
    /// `Consul`: sees changes as they come.
    pub fn watching(settings: &Settings) -> Consul {
        Consul::new(settings, false)
    }

    /// `PollConsul`: looks every `PollingInterval`.
    pub fn polling(settings: &Settings) -> Consul {
        Consul::new(settings, true)
    }

    fn new(settings: &Settings, polls: bool) -> Consul {
        let port = if settings.port == 0 { PORT } else { settings.port };
        let root = HttpUrl { tls: settings.tls, host: settings.host.clone(), port, target: "/".to_owned() };
        Consul {
            label: format!("{} {}", settings.kind.name, settings.address(PORT)),
            settings: settings.clone(),
            root,
            client: Client::default(),
            polls,
        }
    }

    /// The address that tells of a service; with an index the server holds the question until there is another one.
    fn url(&self, service: &Service, index: u64) -> HttpUrl {
        let (consul, mut path) = (&self.settings.consul, "v1/health/service/".to_owned());
        put(&mut path, &service.name);
        path += "?passing";
        let mut add = |key: &str, value: &str| {
            path.push_str(key);
            put(&mut path, value);
        };
        if !consul.datacenter.is_empty() {
            add("&dc=", &consul.datacenter);
        }
        let namespace =
            if service.namespace.is_empty() { &self.settings.namespace } else { &service.namespace };
        if !namespace.is_empty() && !self.settings.ocelot {
            add("&ns=", namespace);
        }
        consul.tags.iter().for_each(|tag| add("&tag=", tag));
        if consul.stale {
            add("&stale", "");
        }
        if index > 0 {
            add("&index=", &index.to_string());
            add("&wait=", &format!("{}s", WAIT.as_secs()));
        }
        self.root.below(&path)
    }

    async fn ask(&self, url: &HttpUrl, time: Duration) -> Result<Reply, String> {
        let mut request = Request::get(url);
        if let Some(token) = self.settings.token.as_ref().filter(|token| !token.reveal().is_empty()) {
            request = request.field("X-Consul-Token", token.reveal());
        }
        let reply = self.client.send(&request, Bounds { time, size: LARGEST }).await?;
        match reply.status() {
            200 => Ok(reply),
            403 => Err(format!("{url}: the answer is 403: the Token may not read this")),
            status => Err(format!("{url}: the answer is {status}")),
        }
    }

    /// One look; gives back the index of the answer, where the server has one.
    async fn look(&self, service: &Service, course: &mut Course, told: &Told) -> Result<Option<u64>, String> {
        let url = self.url(service, course.index);
        let time = if course.index > 0 { WAIT + WAIT / 16 + AT_ONCE } else { AT_ONCE };
        told.look();
        let reply = self.ask(&url, time).await?;
        let index = reply.field("X-Consul-Index").and_then(|text| text.parse::<u64>().ok());
        let nodes = if self.settings.ocelot || self.settings.consul.node_name {
            let reply = self.ask(&self.root.below("v1/catalog/nodes"), AT_ONCE).await?;
            answer::nodes(&reply.body).map_err(|e| format!("{url}: {e}"))?
        } else {
            Vec::new()
        };
        let rules = Rules { consul: &self.settings.consul, ocelot: self.settings.ocelot };
        let Found { instances, warnings } =
            answer::read(&reply.body, &nodes, rules).map_err(|e| format!("{url}: {e}"))?;
        if warnings != course.warned {
            warnings.iter().for_each(|warning| log::warn!("{}: {}: {warning}", self.label, service.name));
            course.warned = warnings;
        }
        told.on_request(self.settings.ocelot && !self.polls && index.is_none());
        told.tell(instances);
        Ok(index)
    }

    /// Waits until it is time for another look, and says which index it waits for.
    async fn rest(&self, index: Option<u64>, asked: Instant, course: &mut Course, told: &Told) {
        let interval = self.settings.interval.unwrap_or(INTERVAL);
        let (before, held) = (course.index, index.filter(|index| *index > 0 && !self.polls));
        // An index that goes backwards is begun anew: the server was restored, or is another one.
        course.index = held.filter(|index| *index >= before).unwrap_or(0);
        match held {
            // It should have held the question, and did not.
            Some(index) if index == before && asked.elapsed() < INTERVAL => {
                tokio::time::sleep(jittered(2 * INTERVAL)).await;
            }
            Some(_) => tokio::time::sleep(GAP).await,
            None if self.settings.ocelot && !self.polls => told.wished().await,
            None => tokio::time::sleep(interval).await,
        }
    }
}

#[async_trait]
impl Provider for Consul {
    fn label(&self) -> &str {
        &self.label
    }

    fn is_asked_by_requests(&self) -> bool {
        self.settings.ocelot && !self.polls
    }

    async fn follow(&self, service: &Service, told: &Told) -> String {
        let mut course = Course::default();
        loop {
            let asked = Instant::now();
            match self.look(service, &mut course, told).await {
                Ok(index) => self.rest(index, asked, &mut course, told).await,
                Err(trouble) => return trouble,
            }
        }
    }
}

fn put(path: &mut String, text: &str) {
    path.push_str(&percent::encoded(text));
}

#[cfg(test)]
mod tests;
