//! Host names resolved in the background. The last good answer is always available; only the first request to a name that
//! was never resolved waits for DNS.

use super::{
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

type Addresses = Option<Arc<[IpAddr]>>;

/// A host name and its current addresses.
#[derive(Debug)]
pub struct ResolvedName {
    text: Box<str>,
    addresses: watch::Sender<Addresses>,
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
        self.addresses.borrow().clone()
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
        self.addresses.borrow().as_ref().is_some_and(|current| current.contains(&peer.address))
    }

    /// The addresses; waits until `deadline` for the first answer.
    pub async fn addresses(&self, deadline: Instant) -> Addresses {
        if let Some(current) = self.current() {
            return Some(current);
        }
        let mut receiver = self.addresses.subscribe();
        let first_answer = receiver.wait_for(Option::is_some);
        match tokio::time::timeout_at(deadline.into(), first_answer).await {
            Ok(Ok(current)) => current.clone(),
            _ => None,
        }
    }

    /// Sets the addresses; an empty answer is ignored.
    pub(super) fn publish(&self, mut answer: Vec<IpAddr>) {
        answer.sort_unstable();
        answer.dedup();
        if !answer.is_empty() && self.current().as_deref() != Some(&answer[..]) {
            self.addresses.send_replace(Some(answer.into()));
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
}

impl Resolver {
    /// A resolver whose lookups run on this runtime.
    pub fn new(background: BackgroundRuntime) -> Resolver {
        Resolver { addresses: Arc::default(), background, dns: Dns::default() }
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
            addresses: watch::Sender::new(literal.clone()),
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
fn parse_literal(text: &str) -> Addresses {
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
        assert!(name.addresses(Instant::now() + Duration::from_secs(1)).await.is_none());
        name.addresses.send_replace(Some(Arc::from([IpAddr::V4(Ipv4Addr::LOCALHOST)])));
        assert!(name.addresses(Instant::now()).await.is_some());
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
