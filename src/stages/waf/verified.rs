//! Addresses of clients that claim to be a known bot: their reverse DNS names, resolved in the background.

use super::bots::VerifiedBot;
use crate::net::background::BackgroundRuntime;
use crate::net::dns::Dns;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are remembered; of more the oldest are dropped.
const CACHE_CAPACITY: usize = 4096;

/// How long a result is used.
const RESULT_TTL: Duration = Duration::from_secs(3600);

/// What is known about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It has a name of the bot.
    Genuine,
    /// It has none.
    Forged,
    /// Its name is being resolved.
    Pending,
}

/// The result of an address that claims to be the bot of an agent, and its time.
type Results = HashMap<(IpAddr, Vec<u8>), (Verification, Instant)>;

/// The results of the last hour.
#[derive(Default)]
pub struct VerifiedBots {
    results: Mutex<Results>,
}

/// How names are resolved in the background.
#[derive(Clone, Debug)]
pub struct NameLookups {
    /// The DNS client of the gateway.
    pub dns: Dns,
    /// Where lookups run.
    pub background: BackgroundRuntime,
}

impl fmt::Debug for VerifiedBots {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VerifiedBots({})", self.lock().len())
    }
}

impl VerifiedBots {
    /// What is known about an address; the first request starts the lookup.
    pub fn verify(
        self: &Arc<Self>,
        bot: &VerifiedBot,
        address: IpAddr,
        now: Instant,
        lookups: &NameLookups,
    ) -> Verification {
        let key = (address, bot.agent.clone());
        let mut results = self.lock();
        if let Some((known, since)) = results.get(&key)
            && now.saturating_duration_since(*since) < RESULT_TTL
        {
            return *known;
        }
        if results.len() >= CACHE_CAPACITY {
            let oldest = results.iter().min_by_key(|(_, (_, since))| *since).map(|(key, _)| key.clone());
            oldest.map(|key| results.remove(&key));
        }
        results.insert(key.clone(), (Verification::Pending, now));
        drop(results);
        let (verified, domains, dns) = (self.clone(), bot.domains.clone(), lookups.dns.clone());
        lookups.background.spawn(async move {
            let is_genuine = is_named(address, &domains, &dns).await;
            let result = if is_genuine { Verification::Genuine } else { Verification::Forged };
            verified.lock().insert(key, (result, Instant::now()));
        });
        Verification::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a name of the address is below a domain and resolves to the address.
async fn is_named(address: IpAddr, domains: &[String], dns: &Dns) -> bool {
    let names = dns.lookup_names(address).await.map_or_else(|_| Vec::new(), |found| found.records);
    for name in names.iter().filter(|name| domains.iter().any(|domain| is_below(name, domain))) {
        if dns.lookup_ip(name).await.is_ok_and(|found| found.records.contains(&address)) {
            return true;
        }
    }
    false
}

fn is_below(name: &str, domain: &str) -> bool {
    name == domain || name.strip_suffix(domain).is_some_and(|host| host.ends_with('.'))
}
