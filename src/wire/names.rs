//! Host names, resolved in the background: the last good answer is always at hand, and no request waits for DNS but the
//! first to a name that was never resolved.

use super::background::Background;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often a resolved name is asked for again; the system's resolver tells no time to live.
const REFRESH: Duration = Duration::from_secs(30);
/// How soon a name that has no answer yet is asked for again.
const RETRY: Duration = Duration::from_secs(1);

type Addresses = Option<Arc<[IpAddr]>>;

/// One name and the addresses it has now.
#[derive(Debug)]
pub struct Name {
    text: Box<str>,
    known: watch::Sender<Addresses>,
}

impl Name {
    /// The name as configured.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The addresses known now.
    pub fn now(&self) -> Addresses {
        self.known.borrow().clone()
    }

    /// The addresses, waiting for a first answer until then.
    pub async fn addresses(&self, until: Instant) -> Addresses {
        if let Some(known) = self.now() {
            return Some(known);
        }
        let mut watch = self.known.subscribe();
        let first = watch.wait_for(Option::is_some);
        match tokio::time::timeout_at(until.into(), first).await {
            Ok(Ok(known)) => known.clone(),
            _ => None,
        }
    }
}

/// All names in use; the background task that resolves them ends with this.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: Arc<Mutex<HashMap<Box<str>, Weak<Name>>>>,
    background: Background,
}

impl Names {
    /// Names that are resolved there.
    pub fn new(background: Background) -> Names {
        Names { known: Arc::default(), background }
    }

    /// The name, resolved from now on for as long as somebody holds it.
    pub fn get(&self, text: &str) -> Arc<Name> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(text).and_then(Weak::upgrade) {
            return name;
        }
        known.retain(|_, name| name.strong_count() > 0);
        let fixed = literal(text);
        let name = Arc::new(Name { text: text.into(), known: watch::Sender::new(fixed.clone()) });
        known.insert(text.into(), Arc::downgrade(&name));
        if fixed.is_none() {
            self.background.spawn(keep(Arc::downgrade(&name)));
        }
        name
    }
}

/// Addresses that need no resolver: `localhost` is both loopback addresses (RFC 6761 6.3).
fn literal(text: &str) -> Addresses {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Arc::from([address]));
    }
    text.eq_ignore_ascii_case("localhost")
        .then(|| Arc::from([IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)]))
}

/// Keeps one name resolved until nobody wants it any more; failures keep the last good answer.
async fn keep(name: Weak<Name>) {
    loop {
        let Some(text) = name.upgrade().map(|name| name.text.to_string()) else { return };
        let found = tokio::net::lookup_host((text.as_str(), 0)).await;
        let Some(name) = name.upgrade() else { return };
        match found {
            Ok(found) => publish(&name, found.map(|a| a.ip()).collect()),
            Err(error) => log::warn!("the name {text} was not resolved: {error}"),
        }
        let wait = if name.now().is_some() { REFRESH } else { RETRY };
        drop(name);
        tokio::time::sleep(wait).await;
    }
}

fn publish(name: &Name, mut found: Vec<IpAddr>) {
    found.sort_unstable();
    found.dedup();
    if !found.is_empty() && name.now().as_deref() != Some(&found[..]) {
        name.known.send_replace(Some(found.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_localhost_need_no_resolver() {
        assert_eq!(literal("127.0.0.1").as_deref(), Some(&[IpAddr::V4(Ipv4Addr::LOCALHOST)][..]));
        assert_eq!(literal("[::1]").as_deref(), Some(&[IpAddr::V6(Ipv6Addr::LOCALHOST)][..]));
        assert_eq!(literal("LocalHost").map(|a| a.len()), Some(2));
        assert!(literal("service").is_none());
    }

    #[test]
    fn a_name_is_shared_while_somebody_holds_it() {
        let names = Names::default();
        let one = names.get("127.0.0.1");
        assert!(Arc::ptr_eq(&one, &names.get("127.0.0.1")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_name_is_waited_for_only_so_long() {
        let name = Names::default().get("no.such.name");
        assert!(name.addresses(Instant::now() + Duration::from_secs(1)).await.is_none());
        name.known.send_replace(Some(Arc::from([IpAddr::V4(Ipv4Addr::LOCALHOST)])));
        assert!(name.addresses(Instant::now()).await.is_some());
    }
}
