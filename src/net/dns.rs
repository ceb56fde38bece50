//! Questions to the domain name system: addresses and services, with the time for which the answers hold.
//!
//! `/etc/hosts` comes first, then the servers of the settings or of `/etc/resolv.conf`. Both files are read again when
//! they change. Nothing is cached here: who asks keeps the answer and knows when to ask again.

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

/// The files of the system; when one changes, it is read again.
const WATCHED_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// How long an address of `/etc/hosts` holds before the file is looked at again.
const HOSTS_FILE_TTL: Duration = Duration::from_secs(10);
/// The most questions under way.
const MAX_PARALLEL_QUERIES: usize = 16;
/// The most addresses or services of one name that are used.
const MAX_ADDRESSES: usize = 1000;

/// How names are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Who is asked; empty: those of the system.
    pub servers: Vec<SocketAddr>,
    /// An answer holds at least so long, whatever it says.
    pub min_ttl: Duration,
    /// An answer holds at most so long, whatever it says.
    pub max_ttl: Duration,
    /// How long one server has for one answer.
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
    /// After how long an answer is asked for again, so that the next one is there before this one ends.
    pub fn refresh(&self, holds: Duration) -> Duration {
        holds.clamp(self.min_ttl, self.max_ttl.max(self.min_ttl)).mul_f64(0.8)
    }
}

/// An answer, and how long it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    pub records: Vec<T>,
    pub ttl: Duration,
}

/// An instance of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    pub priority: u16,
    pub weight: u16,
    pub host: String,
    pub port: u16,
}

/// Who asks. Clones are one.
#[derive(Clone)]
pub struct Dns(Arc<Inner>);

struct Inner {
    settings: watch::Sender<DnsSettings>,
    resolver_state: Mutex<Option<ResolverState>>,
    query_id: Semaphore,
}

/// What answers, and from which settings and which state of the files it was made.
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
            query_id: Semaphore::new(MAX_PARALLEL_QUERIES),
        }))
    }
}

impl Dns {
    /// From now on names are resolved like that; what changed is asked for again at once.
    pub fn configure(&self, settings: &DnsSettings) {
        self.0.settings.send_if_modified(|known| {
            let changed = known != settings;
            if changed {
                known.clone_from(settings);
            }
            changed
        });
    }

    /// The settings, and a way to notice when they change.
    pub fn settings(&self) -> watch::Receiver<DnsSettings> {
        self.0.settings.subscribe()
    }

    /// The addresses of a name, never none of them; an error says in a few words why there are none.
    pub async fn lookup_ip(&self, name: &str) -> Result<Answer<IpAddr>, String> {
        let name = Name::from_str_relaxed(name).map_err(|_| "it is no name".to_owned())?;
        let tools = self.resolver_state()?;
        if let Some(found) = lookup_hosts_file(&tools.hosts, &name) {
            return Ok(found);
        }
        let _turn = self.0.query_id.acquire().await;
        let answer = tools.resolver.lookup_ip(name).await.map_err(error_text)?;
        let found = to_answer(answer.as_lookup().answers(), |data| data.ip_addr().filter(is_usable_record));
        if found.records.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) }
    }

    /// The instances of a service, such as `_http._tcp.shop.example`; none is an answer, too.
    pub async fn lookup_srv(&self, name: &str) -> Result<Answer<ServiceRecord>, String> {
        let name = Name::from_str_relaxed(name).map_err(|_| "it is no name".to_owned())?;
        let tools = self.resolver_state()?;
        let _turn = self.0.query_id.acquire().await;
        let answer = tools.resolver.srv_lookup(name).await.map_err(error_text)?;
        Ok(to_answer(answer.answers(), service))
    }

    /// Resolver and hosts, made anew when the settings or the files of the system changed.
    fn resolver_state(&self) -> Result<ResolverState, String> {
        let mut kept = self.0.resolver_state.lock().unwrap_or_else(PoisonError::into_inner);
        let files = WATCHED_FILES.map(|file| std::fs::metadata(file).and_then(|m| m.modified()).ok());
        let now = (self.0.settings.borrow().clone(), files);
        if let Some(tools) = kept.as_ref().filter(|tools| tools.built_from == now) {
            return Ok(tools.clone());
        }
        let resolver = resolver(&now.0).map_err(error_text)?;
        let hosts = Arc::new(Hosts::from_system().unwrap_or_default());
        Ok(kept.insert(ResolverState { resolver, hosts, built_from: now }).clone())
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

/// Without a file that names a server it is the one of this machine, see resolv.conf(5).
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

/// What the file of hosts says; a name that is in it is not asked for anywhere else.
fn lookup_hosts_file(hosts: &Hosts, name: &Name) -> Option<Answer<IpAddr>> {
    let of = |kind| hosts.lookup_static_host(&Query::query(name.clone(), kind));
    let answers = [of(RecordType::A), of(RecordType::AAAA)];
    let all = answers.iter().flatten().flat_map(|a| a.answers()).filter_map(|record| record.data.ip_addr());
    let all: Vec<IpAddr> = all.take(MAX_ADDRESSES).collect();
    (!all.is_empty()).then_some(Answer { records: all, ttl: HOSTS_FILE_TTL })
}

/// What is wanted of the answers; it holds as long as the first of them to end, aliases included.
fn to_answer<T>(answers: &[Record], wanted: impl Fn(&RData) -> Option<T>) -> Answer<T> {
    let holds = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
    let all = answers.iter().filter_map(|record| wanted(&record.data)).take(MAX_ADDRESSES).collect();
    Answer { records: all, ttl: Duration::from_secs(holds.into()) }
}

fn service(data: &RData) -> Option<ServiceRecord> {
    let RData::SRV(srv) = data else { return None };
    let host = srv.target.to_ascii().trim_end_matches('.').to_owned();
    // A target of "." says that there is no such service here.
    let usable = !host.is_empty() && srv.port > 0;
    usable.then_some(ServiceRecord { priority: srv.priority, weight: srv.weight, host, port: srv.port })
}

/// Nothing listens on these, or something else than is meant: 0.0.0.0 is this machine.
fn is_usable_record(address: &IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && *address != IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn error_text(error: NetError) -> String {
    if error.is_nx_domain() {
        return "there is no such name".to_owned();
    }
    if error.is_no_records_found() {
        return "it has no record of that kind".to_owned();
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
    fn an_answer_is_asked_for_again_before_it_ends_and_within_bounds() {
        let settings = DnsSettings::default();
        let after = |seconds| settings.refresh(Duration::from_secs(seconds)).as_millis();
        assert_eq!((after(0), after(1), after(30), after(u64::from(u32::MAX))), (800, 800, 24_000, 240_000));
    }

    #[test]
    fn the_first_record_to_end_says_how_long_an_answer_holds() {
        let a = |last| RData::A(A(Ipv4Addr::new(127, 0, 0, last)));
        let found = to_answer(&[record(30, a(1)), record(5, a(2))], RData::ip_addr);
        assert_eq!((found.records.len(), found.ttl), (2, Duration::from_secs(5)));
    }

    #[test]
    fn services_have_a_host_and_a_port() {
        let srv = |port, target: &str| RData::SRV(SRV::new(1, 2, port, Name::from_ascii(target).unwrap()));
        let good = service(&srv(80, "a.example.")).unwrap();
        assert_eq!((good.priority, good.weight, &*good.host, good.port), (1, 2, "a.example", 80));
        assert_eq!((service(&srv(80, ".")), service(&srv(0, "a."))), (None, None));
    }

    #[test]
    fn addresses_that_mean_something_else_are_left_out() {
        for (address, good) in
            [("127.0.0.1", true), ("::1", true), ("0.0.0.0", false), ("::", false), ("ff02::1", false)]
        {
            assert_eq!(is_usable_record(&address.parse().unwrap()), good, "{address}");
        }
    }
}
