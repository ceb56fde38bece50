//! Host names resolved in the background. The last good answer is always available; only the first request to a name that
//! was never resolved waits for DNS.

use super::{
    agents::registry::AgentRegistry,
    background::BackgroundRuntime,
    dns::{Dns, DnsSettings},
};
use crate::base::backoff;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::sleep};

/// Delay of the first retry after a failed lookup; doubled after each further failure.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Maximum retry delay.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(16);

pub(super) type Addresses = Option<Arc<[IpAddr]>>;

/// The result of the lookups of a name so far.
#[derive(Clone, Debug)]
enum Lookup {
    Pending,
    /// No lookup succeeded yet; the reason of the last failure.
    Failed(Arc<str>),
    /// The addresses of the last lookup that succeeded.
    Found(Arc<[IpAddr]>),
}

impl Lookup {
    fn from_literal(addresses: Addresses) -> Lookup {
        addresses.map_or(Lookup::Pending, Lookup::Found)
    }

    fn addresses(&self) -> Addresses {
        match self {
            Lookup::Found(addresses) => Some(addresses.clone()),
            Lookup::Pending | Lookup::Failed(_) => None,
        }
    }
}

/// A host name and its current addresses.
#[derive(Debug)]
pub struct ResolvedName {
    text: Box<str>,
    lookup: watch::Sender<Lookup>,
    /// Counts the changes, so that a connection can cheaply check that its address is current.
    changes: AtomicU64,
}

/// The address of a connection, and the generation in which it was an address of the name.
#[derive(Clone, Copy, Debug)]
pub struct ResolvedPeer {
    pub address: IpAddr,
    pub generation: u64,
}

impl ResolvedName {
    /// The name as configured.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The current addresses; `None` before the first answer.
    pub fn current(&self) -> Addresses {
        self.lookup.borrow().addresses()
    }

    /// The number of changes of the addresses; read it before them.
    pub fn generation(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether the peer is still an address of this name.
    pub fn still_contains(&self, peer: &mut ResolvedPeer) -> bool {
        let generation = self.generation();
        if peer.generation == generation {
            return true;
        }
        peer.generation = generation;
        matches!(&*self.lookup.borrow(), Lookup::Found(current) if current.contains(&peer.address))
    }

    /// The addresses; waits until `deadline` for the first lookup. A lookup that failed is remembered until the next one.
    ///
    /// # Errors
    ///
    /// The reason of the last failure, or that no lookup was complete in time.
    pub async fn addresses(&self, deadline: Instant) -> Result<Arc<[IpAddr]>, Arc<str>> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let mut receiver = self.lookup.subscribe();
        let first_answer = receiver.wait_for(|lookup| !matches!(lookup, Lookup::Pending));
        match tokio::time::timeout_at(deadline.into(), first_answer).await {
            Ok(Ok(lookup)) => match &*lookup {
                Lookup::Found(addresses) => Ok(addresses.clone()),
                Lookup::Failed(reason) => Err(reason.clone()),
                Lookup::Pending => Err("no answer yet".into()),
            },
            _ => Err("no answer in time".into()),
        }
    }

    /// Remembers why a lookup failed, if none succeeded before.
    fn publish_failure(&self, reason: &str) {
        self.lookup.send_if_modified(|lookup| {
            let is_first = !matches!(lookup, Lookup::Found(_));
            if is_first {
                *lookup = Lookup::Failed(reason.into());
            }
            is_first
        });
    }

    /// Sets the addresses; an empty answer is ignored.
    pub(super) fn publish(&self, mut answer: Vec<IpAddr>) {
        answer.sort_unstable();
        answer.dedup();
        if !answer.is_empty() && self.current().as_deref() != Some(&answer[..]) {
            self.lookup.send_replace(Lookup::Found(answer.into()));
            self.changes.fetch_add(1, Ordering::Release);
        }
    }
}

/// All names in use. The background task of a name ends when the name is dropped.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    addresses: Arc<Mutex<HashMap<Box<str>, Weak<ResolvedName>>>>,
    background: BackgroundRuntime,
    dns: Dns,
    /// The agents whose services endpoints may name.
    agents: Option<Arc<AgentRegistry>>,
}

impl Resolver {
    /// A resolver whose lookups run on this runtime.
    pub fn new(background: BackgroundRuntime) -> Resolver {
        Resolver { addresses: Arc::default(), background, dns: Dns::default(), agents: None }
    }

    /// The same resolver, which finds agents here.
    #[must_use]
    pub fn with_agents(self, agents: Arc<AgentRegistry>) -> Resolver {
        Resolver { agents: Some(agents), ..self }
    }

    /// The registry of agents.
    pub fn agents(&self) -> Option<&Arc<AgentRegistry>> {
        self.agents.as_ref()
    }

    /// The DNS client.
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// The name, resolved in the background as long as it is referenced.
    pub fn get(&self, text: &str) -> Arc<ResolvedName> {
        let mut current = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = current.get(text).and_then(Weak::upgrade) {
            return name;
        }
        if current.len() == current.capacity() {
            current.retain(|_, name| name.strong_count() > 0);
        }
        let literal = parse_literal(text);
        let name = Arc::new(ResolvedName {
            text: text.into(),
            lookup: watch::Sender::new(Lookup::from_literal(literal.clone())),
            changes: AtomicU64::new(0),
        });
        current.insert(text.into(), Arc::downgrade(&name));
        if literal.is_none() {
            self.background.spawn(refresh_task(Arc::downgrade(&name), self.dns.clone()));
        }
        name
    }
}

/// Addresses that need no DNS: `localhost` and its subdomains are the loopback addresses (RFC 6761 6.3).
pub(super) fn parse_literal(text: &str) -> Addresses {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Arc::from([address]));
    }
    let last = bare.trim_end_matches('.').rsplit('.').next();
    last.is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
        .then(|| Arc::from([IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)]))
}

/// Keeps one name resolved until it is dropped. After a failure the last good answer is kept.
async fn refresh_task(name: Weak<ResolvedName>, dns: Dns) {
    let mut settings = dns.settings();
    let mut failures = 0;
    loop {
        let Some(text) = name.upgrade().map(|name| name.text.to_string()) else { return };
        let now: DnsSettings = settings.borrow_and_update().clone();
        let answer = dns.lookup_ip(&text).await;
        let Some(name) = name.upgrade() else { return };
        let delay = match answer {
            Ok(answer) => {
                failures = 0;
                name.publish(answer.records);
                now.refresh(answer.ttl)
            }
            Err(error) => {
                failures += 1;
                name.publish_failure(&error);
                let kept = if name.current().is_some() { "; its last addresses are kept" } else { "" };
                log::warn!("DNS lookup of {text} failed: {error}{kept}");
                retry_delay(failures)
            }
        };
        drop(name);
        tokio::select! {
            () = sleep(delay) => {}
            changed = settings.changed() => if changed.is_err() { return },
        }
    }
}

fn retry_delay(failures: u32) -> Duration {
    backoff::bound(MIN_RETRY_DELAY, MAX_RETRY_DELAY, failures.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_localhost_need_no_resolver() {
        assert_eq!(parse_literal("127.0.0.1").as_deref(), Some(&[IpAddr::V4(Ipv4Addr::LOCALHOST)][..]));
        assert_eq!(parse_literal("[::1]").as_deref(), Some(&[IpAddr::V6(Ipv6Addr::LOCALHOST)][..]));
        assert_eq!(parse_literal("LocalHost").map(|a| a.len()), Some(2));
        assert_eq!(parse_literal("app.localhost.").map(|a| a.len()), Some(2));
        assert!(parse_literal("localhost.example").is_none());
        assert!(parse_literal("service").is_none());
    }

    #[test]
    fn a_name_is_shared_while_it_is_referenced() {
        let names = Resolver::default();
        let one = names.get("127.0.0.1");
        assert!(Arc::ptr_eq(&one, &names.get("127.0.0.1")));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_an_unknown_name_times_out() {
        let name = Resolver::default().get("no.such.name");
        assert!(name.addresses(Instant::now() + Duration::from_secs(1)).await.is_err());
        name.publish(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        assert!(name.addresses(Instant::now()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_lookup_is_an_answer_until_the_next_one() {
        let name = Resolver::default().get("no.such.name");
        name.publish_failure("no such name");
        let began = tokio::time::Instant::now();
        let failed = name.addresses(Instant::now() + Duration::from_secs(5)).await;
        assert_eq!((failed.unwrap_err().as_ref(), began.elapsed()), ("no such name", Duration::ZERO));
        let found = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        name.publish(found.clone());
        name.publish_failure("timeout");
        assert_eq!(name.current().as_deref(), Some(&found[..]), "the last addresses are kept");
    }

    #[test]
    fn an_address_that_was_removed_is_detected() {
        let name = Resolver::default().get("shop.example");
        let [one, two, three] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|a| a.parse::<IpAddr>().unwrap());
        name.publish(vec![two, one]);
        let [mut to_one, mut to_two] =
            [one, two].map(|address| ResolvedPeer { address, generation: name.generation() });
        assert!(name.still_contains(&mut to_one) && name.still_contains(&mut to_two));
        name.publish(vec![two, three, two]);
        assert!(!name.still_contains(&mut to_one) && name.still_contains(&mut to_two));
        assert_eq!(to_two.generation, name.generation(), "the next check is cheap");
        name.publish(Vec::new());
        assert_eq!(name.current().as_deref(), Some(&[two, three][..]), "an empty answer changes nothing");
    }

    #[test]
    fn retry_delays_grow_up_to_a_maximum() {
        assert_eq!([1, 2, 3, 5, 60].map(|n| retry_delay(n).as_secs()), [1, 2, 4, 16, 16]);
    }
}
