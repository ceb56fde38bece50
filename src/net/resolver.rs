//! Host names, resolved in the background: the last good answer is always at hand, and no request waits for DNS but the
//! first to a name that was never resolved.

use super::{
    background::BackgroundRuntime,
    dns::{Dns, DnsSettings},
};
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

/// How soon a name is asked for again after a failure; twice as long after each further one.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);
/// The longest pause between two failures.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(16);

type Addresses = Option<Arc<[IpAddr]>>;

/// One name and the addresses it has now.
#[derive(Debug)]
pub struct ResolvedName {
    text: Box<str>,
    addresses: watch::Sender<Addresses>,
    /// Counts the changes, so that a connection knows cheaply that its address is still one of this name.
    changes: AtomicU64,
}

/// Where a connection leads, and after which change of the name that was known to be one of its addresses.
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

    /// The addresses known now.
    pub fn current(&self) -> Addresses {
        self.addresses.borrow().clone()
    }

    /// How often the addresses changed; to be read before they are.
    pub fn generation(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether that is still an address of this name.
    pub fn still_contains(&self, origin: &mut ResolvedPeer) -> bool {
        let change = self.generation();
        if origin.generation == change {
            return true;
        }
        origin.generation = change;
        self.addresses.borrow().as_ref().is_some_and(|known| known.contains(&origin.address))
    }

    /// The addresses, waiting for a first answer until then.
    pub async fn addresses(&self, until: Instant) -> Addresses {
        if let Some(known) = self.current() {
            return Some(known);
        }
        let mut watch = self.addresses.subscribe();
        let first = watch.wait_for(Option::is_some);
        match tokio::time::timeout_at(until.into(), first).await {
            Ok(Ok(known)) => known.clone(),
            _ => None,
        }
    }

    /// From now on these are its addresses; none is no news.
    pub(super) fn publish(&self, mut found: Vec<IpAddr>) {
        found.sort_unstable();
        found.dedup();
        if !found.is_empty() && self.current().as_deref() != Some(&found[..]) {
            self.addresses.send_replace(Some(found.into()));
            self.changes.fetch_add(1, Ordering::Release);
        }
    }
}

/// All names in use; the background task that resolves them ends with this.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    addresses: Arc<Mutex<HashMap<Box<str>, Weak<ResolvedName>>>>,
    background: BackgroundRuntime,
    dns: Dns,
}

impl Resolver {
    /// Names that are resolved there.
    pub fn new(background: BackgroundRuntime) -> Resolver {
        Resolver { addresses: Arc::default(), background, dns: Dns::default() }
    }

    /// Who is asked for them.
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// The name, resolved from now on for as long as somebody holds it.
    pub fn get(&self, text: &str) -> Arc<ResolvedName> {
        let mut known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(text).and_then(Weak::upgrade) {
            return name;
        }
        if known.len() == known.capacity() {
            known.retain(|_, name| name.strong_count() > 0);
        }
        let fixed = parse_literal(text);
        let name = Arc::new(ResolvedName {
            text: text.into(),
            addresses: watch::Sender::new(fixed.clone()),
            changes: AtomicU64::new(0),
        });
        known.insert(text.into(), Arc::downgrade(&name));
        if fixed.is_none() {
            self.background.spawn(refresh_task(Arc::downgrade(&name), self.dns.clone()));
        }
        name
    }
}

/// Addresses that need no resolver: `localhost` and what is below it are both loopback addresses (RFC 6761 6.3).
fn parse_literal(text: &str) -> Addresses {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Arc::from([address]));
    }
    let last = bare.trim_end_matches('.').rsplit('.').next();
    last.is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
        .then(|| Arc::from([IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)]))
}

/// Keeps one name resolved until nobody wants it any more; failures keep the last good answer.
async fn refresh_task(name: Weak<ResolvedName>, dns: Dns) {
    let mut settings = dns.settings();
    let mut failures = 0;
    loop {
        let Some(text) = name.upgrade().map(|name| name.text.to_string()) else { return };
        let now: DnsSettings = settings.borrow_and_update().clone();
        let found = dns.lookup_ip(&text).await;
        let Some(name) = name.upgrade() else { return };
        let pause = match found {
            Ok(found) => {
                failures = 0;
                name.publish(found.records);
                now.refresh(found.ttl)
            }
            Err(error) => {
                failures += 1;
                let kept = if name.current().is_some() { "; its last addresses are kept" } else { "" };
                log::warn!("the name {text} was not resolved: {error}{kept}");
                retry(failures)
            }
        };
        drop(name);
        tokio::select! {
            () = sleep(pause) => {}
            changed = settings.changed() => if changed.is_err() { return },
        }
    }
}

fn retry(failures: u32) -> Duration {
    MIN_RETRY_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(MAX_RETRY_DELAY)
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
    fn a_name_is_shared_while_somebody_holds_it() {
        let names = Resolver::default();
        let one = names.get("127.0.0.1");
        assert!(Arc::ptr_eq(&one, &names.get("127.0.0.1")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_name_is_waited_for_only_so_long() {
        let name = Resolver::default().get("no.such.name");
        assert!(name.addresses(Instant::now() + Duration::from_secs(1)).await.is_none());
        name.addresses.send_replace(Some(Arc::from([IpAddr::V4(Ipv4Addr::LOCALHOST)])));
        assert!(name.addresses(Instant::now()).await.is_some());
    }

    #[test]
    fn a_connection_to_an_address_that_is_gone_is_noticed() {
        let name = Resolver::default().get("shop.example");
        let [one, two, three] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|a| a.parse::<IpAddr>().unwrap());
        name.publish(vec![two, one]);
        let [mut to_one, mut to_two] =
            [one, two].map(|address| ResolvedPeer { address, generation: name.generation() });
        assert!(name.still_contains(&mut to_one) && name.still_contains(&mut to_two));
        name.publish(vec![two, three, two]);
        assert!(!name.still_contains(&mut to_one) && name.still_contains(&mut to_two));
        assert_eq!(to_two.generation, name.generation(), "the next look is a cheap one");
        name.publish(Vec::new());
        assert_eq!(name.current().as_deref(), Some(&[two, three][..]), "no answer is no change");
    }

    #[test]
    fn pauses_between_failures_grow_up_to_a_limit() {
        assert_eq!([1, 2, 3, 5, 60].map(|n| retry(n).as_secs()), [1, 2, 4, 16, 16]);
    }
}
