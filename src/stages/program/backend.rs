//! The services that programs call: one URL with its credentials and circuit breaker, or a pool of them.

use super::{failure::Failure, target::ServiceUrl};
use crate::{
    backend::{Cluster, attempt::AttemptConfig},
    base::hash::stable_hash,
    net::tls::{certificate::CertifiedKeyPem, client::ClientTls},
    pipeline::error::{ErrorCode, GatewayError},
};
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Maximum number of services that expressions name.
const MAX_SERVICES: usize = 4096;
/// Maximum number of calls that a breaker remembers.
const MAX_REMEMBERED_CALLS: usize = 10_000;
/// The fewest calls for which a percentage counts.
const MIN_CALLS_OF_PERCENTAGE: usize = 10;

/// A backend that APIs and statements name.
#[derive(Debug)]
pub enum Backend {
    Single(Service),
    Pool(Pool),
}

/// One service.
#[derive(Debug)]
pub struct Service {
    pub url: Option<Arc<ServiceUrl>>,
    pub cluster: Arc<Cluster>,
    pub terms: AttemptConfig,
    pub credentials: Credentials,
    pub breaker: Option<Arc<Breaker>>,
}

/// A client certificate for services.
#[derive(Debug)]
pub struct ServiceCertificate {
    pub id: String,
    /// SHA-256 and SHA-1, in hexadecimal digits in lower case.
    pub thumbprints: Vec<String>,
    pub pair: CertifiedKeyPem,
}

/// Client certificates by their ids in lower case.
pub type ServiceCertificates = HashMap<String, Arc<ServiceCertificate>>;

/// What replaces the credentials of the request.
#[derive(Clone, Default)]
pub struct Credentials {
    pub headers: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    pub authorization: Option<String>,
    pub certificate: Option<Arc<ServiceCertificate>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Services of one priority after the other.
#[derive(Debug)]
pub struct Pool {
    pub id: String,
    pub members: Vec<PoolMember>,
    pub affinity_cookie: Option<String>,
    /// For each priority the members in the order of their turns.
    turns: Vec<(Vec<usize>, AtomicUsize)>,
}

/// A member of a pool.
#[derive(Debug)]
pub struct PoolMember {
    pub id: String,
    pub priority: u32,
    pub weight: u32,
    pub backend: Arc<Backend>,
}

impl Pool {
    /// A pool of these members.
    pub fn new(id: String, members: Vec<PoolMember>, affinity_cookie: Option<String>) -> Pool {
        let mut priorities: Vec<u32> = members.iter().map(|member| member.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let turns = priorities.iter().map(|priority| (turns(&members, *priority), AtomicUsize::new(0)));
        Pool { id, turns: turns.collect(), members, affinity_cookie }
    }

    /// The member of the cookie, or the next one; the value of a new cookie.
    pub fn select(&self, cookie: Option<&[u8]>, now: Instant) -> Result<(&Service, Option<String>), Failure> {
        if let (Some(cookie), true) = (cookie, self.affinity_cookie.is_some())
            && let Some(member) = self.members.iter().find(|member| self.token(member).as_bytes() == cookie)
            && let Backend::Single(service) = &*member.backend
            && service.wait(now).is_none()
        {
            return Ok((service, None));
        }
        let mut shortest: Option<Duration> = None;
        for (order, turn) in &self.turns {
            for _ in 0..order.len() {
                let at = turn.fetch_add(1, Ordering::Relaxed) % order.len();
                let member = &self.members[order[at]];
                let Backend::Single(service) = &*member.backend else { continue };
                match service.wait(now) {
                    None => return Ok((service, self.affinity_cookie.as_ref().map(|_| self.token(member)))),
                    Some(wait) => shortest = Some(shortest.map_or(wait, |least| least.min(wait))),
                }
            }
        }
        Err(open_failure(shortest.unwrap_or(Duration::from_secs(1))))
    }

    /// The opaque name of a member in the cookie.
    fn token(&self, member: &PoolMember) -> String {
        format!("{:016x}", stable_hash(format!("{}\n{}", self.id, member.id).as_bytes()))
    }
}

/// Smooth weighted turns: a member of weight 3 has three of four turns if the other has weight 1.
fn turns(members: &[PoolMember], priority: u32) -> Vec<usize> {
    let of: Vec<usize> = (0..members.len()).filter(|at| members[*at].priority == priority).collect();
    let total: i64 = of.iter().map(|at| i64::from(members[*at].weight)).sum();
    let mut current: Vec<i64> = vec![0; of.len()];
    let mut order = Vec::new();
    for _ in 0..total {
        let mut best = 0;
        for (at, value) in current.iter_mut().enumerate() {
            *value += i64::from(members[of[at]].weight);
        }
        for at in 0..current.len() {
            if current[at] > current[best] {
                best = at;
            }
        }
        current[best] -= total;
        order.push(of[best]);
    }
    order
}

impl Service {
    /// How long its breaker stays open; `None`: it is closed.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        self.breaker.as_ref()?.wait(now)
    }

    /// Rejects a call while the breaker is open.
    pub fn admit(&self, now: Instant) -> Result<(), Failure> {
        self.wait(now).map_or(Ok(()), |wait| Err(open_failure(wait)))
    }
}

fn open_failure(wait: Duration) -> Failure {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let error = GatewayError::new(ErrorCode::BackendCircuitOpen, "the circuit of the backend is open");
    Failure::from_gateway(error).with_header("Retry-After", seconds.max(1).to_string())
}

/// The rule of a circuit breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerRule {
    pub count: Option<usize>,
    pub percentage: Option<f64>,
    pub interval: Duration,
    pub statuses: Vec<(u16, u16)>,
    pub reasons: Vec<String>,
    pub trip: Duration,
    pub accepts_retry_after: bool,
}

/// A circuit breaker: closed, or open until a time.
#[derive(Debug)]
pub struct Breaker {
    pub rule: BreakerRule,
    state: Mutex<BreakerState>,
}

#[derive(Debug, Default)]
struct BreakerState {
    /// The calls within the interval, and whether they failed.
    calls: VecDeque<(Instant, bool)>,
    open_until: Option<Instant>,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(rule: BreakerRule) -> Breaker {
        Breaker { rule, state: Mutex::default() }
    }

    fn wait(&self, now: Instant) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let until = state.open_until?;
        if now < until {
            return Some(until - now);
        }
        state.open_until = None;
        state.calls.clear();
        None
    }

    /// Whether a status or the reason of a failure counts.
    pub fn is_failure(&self, status: Option<u16>, reason: &str) -> bool {
        let by_status = status.is_some_and(|status| {
            self.rule.statuses.iter().any(|(min, max)| (*min..=*max).contains(&status))
        });
        by_status || self.rule.reasons.iter().any(|known| known.eq_ignore_ascii_case(reason))
    }

    /// Records the result of a call; `retry_after` is what the service asks for.
    pub fn record(&self, failed: bool, retry_after: Option<Duration>, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = self.rule.interval;
        while state.calls.front().is_some_and(|(at, _)| now.duration_since(*at) >= interval) {
            state.calls.pop_front();
        }
        if state.calls.len() >= MAX_REMEMBERED_CALLS {
            state.calls.pop_front();
        }
        state.calls.push_back((now, failed));
        if !failed {
            return;
        }
        let failures = state.calls.iter().filter(|(_, failed)| *failed).count();
        let total = state.calls.len();
        let by_count = self.rule.count.is_some_and(|count| failures >= count);
        let by_share = self.rule.percentage.is_some_and(|percentage| {
            total >= MIN_CALLS_OF_PERCENTAGE && failures as f64 * 100.0 >= percentage * total as f64
        });
        if by_count || by_share {
            let asked = retry_after.filter(|_| self.rule.accepts_retry_after);
            state.open_until = Some(now + asked.unwrap_or(self.rule.trip));
        }
    }
}

/// Makes the cluster of a URL.
pub type MakeCluster = Box<dyn Fn(&ServiceUrl, &ClientTls) -> Arc<Cluster> + Send + Sync>;

/// Services that URLs name: of `set-backend-service` and of call-outs.
pub struct Services {
    make: MakeCluster,
    pub terms: AttemptConfig,
    /// Hosts that call-outs may and may not call.
    pub allow: Vec<HostRule>,
    pub deny: Vec<HostRule>,
    known: Mutex<HashMap<(String, ClientTls), Arc<Cluster>>>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Services")
            .field("allow", &self.allow)
            .field("deny", &self.deny)
            .finish_non_exhaustive()
    }
}

/// A host pattern or a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// `*.example.com`, `api.example.com`.
    Host(String),
    Network(crate::base::ip_set::IpRange),
}

impl HostRule {
    /// Whether a host name, or an address as a host, is covered.
    pub fn matches_host(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        match self {
            HostRule::Host(pattern) => match pattern.strip_prefix("*.") {
                Some(suffix) => host.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.')),
                None => *pattern == host,
            },
            HostRule::Network(network) => {
                host.parse::<IpAddr>().is_ok_and(|address| network.contains(address.to_canonical()))
            }
        }
    }
}

impl Services {
    /// Whether a host is never called.
    pub fn denies(&self, host: &str) -> bool {
        self.deny.iter().any(|rule| rule.matches_host(host))
    }

    /// No services yet.
    pub fn new(
        make: MakeCluster,
        terms: AttemptConfig,
        allow: Vec<HostRule>,
        deny: Vec<HostRule>,
    ) -> Services {
        Services { make, terms, allow, deny, known: Mutex::default() }
    }

    /// The cluster of a URL; expressions may name a bounded number of them.
    pub fn cluster(&self, url: &ServiceUrl, tls: &ClientTls) -> Arc<Cluster> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (url.origin(), tls.clone());
        if let Some(cluster) = known.get(&key) {
            return cluster.clone();
        }
        if known.len() >= MAX_SERVICES {
            known.clear();
        }
        let cluster = (self.make)(url, tls);
        known.insert(key, cluster.clone());
        cluster
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(count: usize) -> BreakerRule {
        BreakerRule {
            count: Some(count),
            percentage: None,
            interval: Duration::from_secs(10),
            statuses: vec![(500, 599)],
            reasons: vec!["Timeout".into()],
            trip: Duration::from_secs(2),
            accepts_retry_after: true,
        }
    }

    #[test]
    fn a_breaker_opens_after_its_count_and_closes_after_its_time() {
        let (breaker, now) = (Breaker::new(rule(2)), Instant::now());
        breaker.record(true, None, now);
        assert!(breaker.wait(now).is_none());
        breaker.record(true, None, now + Duration::from_secs(1));
        assert_eq!(breaker.wait(now + Duration::from_secs(1)), Some(Duration::from_secs(2)));
        assert!(breaker.wait(now + Duration::from_secs(3)).is_none());
        breaker.record(true, Some(Duration::from_secs(30)), now + Duration::from_secs(3));
        assert!(breaker.wait(now + Duration::from_secs(3)).is_none());
        breaker.record(true, Some(Duration::from_secs(30)), now + Duration::from_secs(3));
        assert_eq!(breaker.wait(now + Duration::from_secs(3)), Some(Duration::from_secs(30)));
    }
}
