//! DNS lookups of addresses (A, AAAA), services (SRV) and names of addresses (PTR), with the TTL of each answer.
//!
//! `/etc/hosts` is consulted first, then the configured servers or those of `/etc/resolv.conf`. Both files are read again
//! when they change. Nothing is cached here: callers keep the answer and look it up again when its TTL ends.

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{
        ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
    },
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::Query,
        rr::{Name, RData, Record, RecordType},
    },
    system_conf::read_system_conf,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::sync::{Semaphore, watch};

/// System files that are read again when they change.
const WATCHED_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// TTL of an address from `/etc/hosts`.
const HOSTS_FILE_TTL: Duration = Duration::from_secs(10);
/// Maximum number of concurrent queries.
const MAX_PARALLEL_QUERIES: usize = 16;
/// Maximum number of addresses or services used of one name.
const MAX_ADDRESSES: usize = 1000;

/// Resolver settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Name servers; empty: those of the system.
    pub servers: Vec<SocketAddr>,
    /// Lower bound of the TTL of an answer.
    pub min_ttl: Duration,
    /// Upper bound of the TTL of an answer.
    pub max_ttl: Duration,
    /// Timeout of one query to one server.
    pub timeout: Duration,
}

impl Default for DnsSettings {
    fn default() -> DnsSettings {
        DnsSettings {
            servers: Vec::new(),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
            timeout: Duration::from_secs(2),
        }
    }
}

impl DnsSettings {
    /// The delay until an answer is looked up again: before its TTL ends, within the configured bounds.
    pub fn refresh(&self, ttl: Duration) -> Duration {
        ttl.clamp(self.min_ttl, self.max_ttl.max(self.min_ttl)).mul_f64(0.8)
    }
}

/// The records of an answer and their TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    pub records: Vec<T>,
    pub ttl: Duration,
}

/// A target of an SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    pub priority: u16,
    pub weight: u16,
    pub host: String,
    pub port: u16,
}

/// DNS client. Clones share their state.
#[derive(Clone)]
pub struct Dns(Arc<Inner>);

struct Inner {
    settings: watch::Sender<DnsSettings>,
    resolver_state: Mutex<Option<ResolverState>>,
    query_permits: Semaphore,
}

/// The resolver, with the settings and file versions it was built from.
#[derive(Clone)]
struct ResolverState {
    resolver: TokioResolver,
    hosts: Arc<Hosts>,
    built_from: (DnsSettings, [Option<SystemTime>; 2]),
}

impl Default for Dns {
    fn default() -> Dns {
        let settings = watch::Sender::new(DnsSettings::default());
        Dns(Arc::new(Inner {
            settings,
            resolver_state: Mutex::default(),
            query_permits: Semaphore::new(MAX_PARALLEL_QUERIES),
        }))
    }
}

impl Dns {
    /// Applies new settings; names are looked up again at once if the settings changed.
    pub fn configure(&self, settings: &DnsSettings) {
        self.0.settings.send_if_modified(|current| {
            let changed = current != settings;
            if changed {
                current.clone_from(settings);
            }
            changed
        });
    }

    /// The settings, with change notifications.
    pub fn settings(&self) -> watch::Receiver<DnsSettings> {
        self.0.settings.subscribe()
    }

    /// The addresses of a name, at least one; an error contains a short reason.
    pub async fn lookup_ip(&self, name: &str) -> Result<Answer<IpAddr>, String> {
        let name = Name::from_str_relaxed(name).map_err(|_| "invalid host name".to_owned())?;
        let state = self.resolver_state()?;
        if let Some(found) = lookup_hosts_file(&state.hosts, &name) {
            return Ok(found);
        }
        let _permit = self.0.query_permits.acquire().await;
        let answer = state.resolver.lookup_ip(name).await.map_err(error_text)?;
        let found = to_answer(answer.as_lookup().answers(), |data| data.ip_addr().filter(is_usable_record));
        if found.records.is_empty() { Err("no address found".to_owned()) } else { Ok(found) }
    }

    /// The targets of a service, such as `_http._tcp.shop.example`; may be empty.
    pub async fn lookup_srv(&self, name: &str) -> Result<Answer<ServiceRecord>, String> {
        let name = Name::from_str_relaxed(name).map_err(|_| "invalid host name".to_owned())?;
        let state = self.resolver_state()?;
        let _permit = self.0.query_permits.acquire().await;
        let answer = state.resolver.srv_lookup(name).await.map_err(error_text)?;
        Ok(to_answer(answer.answers(), service))
    }

    /// The names of an address (PTR records), in lowercase and without the final dot.
    pub async fn lookup_names(&self, address: IpAddr) -> Result<Answer<String>, String> {
        let state = self.resolver_state()?;
        let _permit = self.0.query_permits.acquire().await;
        let answer = state.resolver.reverse_lookup(address).await.map_err(error_text)?;
        Ok(to_answer(answer.answers(), host_name))
    }

    /// The resolver and the hosts file, built again when the settings or the system files changed.
    fn resolver_state(&self) -> Result<ResolverState, String> {
        let mut cached = self.0.resolver_state.lock().unwrap_or_else(PoisonError::into_inner);
        let files = WATCHED_FILES.map(|file| std::fs::metadata(file).and_then(|m| m.modified()).ok());
        let now = (self.0.settings.borrow().clone(), files);
        if let Some(state) = cached.as_ref().filter(|state| state.built_from == now) {
            return Ok(state.clone());
        }
        let resolver = resolver(&now.0).map_err(error_text)?;
        let hosts = Arc::new(Hosts::from_system().unwrap_or_default());
        Ok(cached.insert(ResolverState { resolver, hosts, built_from: now }).clone())
    }
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_tuple("Dns").field(&*self.0.settings.borrow()).finish()
    }
}

fn resolver(settings: &DnsSettings) -> Result<TokioResolver, NetError> {
    let (config, mut options) = match settings.servers.is_empty() {
        true => read_system_conf().unwrap_or_else(|_| default_server()),
        false => (ResolverConfig::from_name_servers(servers(&settings.servers)), ResolverOpts::default()),
    };
    options.timeout = settings.timeout;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 0;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build()
}

/// Without a configured server it is the local one, see resolv.conf(5).
fn default_server() -> (ResolverConfig, ResolverOpts) {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
    (ResolverConfig::from_name_servers(servers(&[local])), ResolverOpts::default())
}

fn servers(addresses: &[SocketAddr]) -> Vec<NameServerConfig> {
    let of = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    addresses.iter().map(of).collect()
}

/// The addresses in the hosts file; a name found there is not queried.
fn lookup_hosts_file(hosts: &Hosts, name: &Name) -> Option<Answer<IpAddr>> {
    let of = |kind| hosts.lookup_static_host(&Query::query(name.clone(), kind));
    let answers = [of(RecordType::A), of(RecordType::AAAA)];
    let all = answers.iter().flatten().flat_map(|a| a.answers()).filter_map(|record| record.data.ip_addr());
    let all: Vec<IpAddr> = all.take(MAX_ADDRESSES).collect();
    (!all.is_empty()).then_some(Answer { records: all, ttl: HOSTS_FILE_TTL })
}

/// The selected records; the TTL is the lowest of all records, CNAME records included.
fn to_answer<T>(answers: &[Record], select: impl Fn(&RData) -> Option<T>) -> Answer<T> {
    let ttl = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
    let all = answers.iter().filter_map(|record| select(&record.data)).take(MAX_ADDRESSES).collect();
    Answer { records: all, ttl: Duration::from_secs(ttl.into()) }
}

fn service(data: &RData) -> Option<ServiceRecord> {
    let RData::SRV(srv) = data else { return None };
    let host = srv.target.to_ascii().trim_end_matches('.').to_owned();
    // A target of "." means that the service does not exist (RFC 2782).
    let usable = !host.is_empty() && srv.port > 0;
    usable.then_some(ServiceRecord { priority: srv.priority, weight: srv.weight, host, port: srv.port })
}

fn host_name(data: &RData) -> Option<String> {
    let RData::PTR(name) = data else { return None };
    Some(name.to_ascii().trim_end_matches('.').to_ascii_lowercase())
}

/// Excludes addresses that cannot be a backend, such as 0.0.0.0, which is the local host.
fn is_usable_record(address: &IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && *address != IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn error_text(error: NetError) -> String {
    if error.is_nx_domain() {
        return "no such name".to_owned();
    }
    if error.is_no_records_found() {
        return "no record of the requested type".to_owned();
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::rdata::{A, SRV};

    fn record(ttl: u32, data: RData) -> Record {
        Record::from_rdata(Name::root(), ttl, data)
    }

    #[test]
    fn an_answer_is_refreshed_before_its_ttl_ends_and_within_bounds() {
        let settings = DnsSettings::default();
        let after = |seconds| settings.refresh(Duration::from_secs(seconds)).as_millis();
        assert_eq!((after(0), after(1), after(30), after(u64::from(u32::MAX))), (800, 800, 24_000, 240_000));
    }

    #[test]
    fn the_ttl_of_an_answer_is_the_lowest_of_its_records() {
        let a = |last| RData::A(A(Ipv4Addr::new(127, 0, 0, last)));
        let found = to_answer(&[record(30, a(1)), record(5, a(2))], RData::ip_addr);
        assert_eq!((found.records.len(), found.ttl), (2, Duration::from_secs(5)));
    }

    #[test]
    fn services_need_a_host_and_a_port() {
        let srv = |port, target: &str| RData::SRV(SRV::new(1, 2, port, Name::from_ascii(target).unwrap()));
        let good = service(&srv(80, "a.example.")).unwrap();
        assert_eq!((good.priority, good.weight, &*good.host, good.port), (1, 2, "a.example", 80));
        assert_eq!((service(&srv(80, ".")), service(&srv(0, "a."))), (None, None));
    }

    #[test]
    fn unusable_addresses_are_skipped() {
        for (address, good) in
            [("127.0.0.1", true), ("::1", true), ("0.0.0.0", false), ("::", false), ("ff02::1", false)]
        {
            assert_eq!(is_usable_record(&address.parse().unwrap()), good, "{address}");
        }
    }
}
