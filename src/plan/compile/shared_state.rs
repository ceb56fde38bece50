//! `SharedState` → the settings of the connection to Redis.

use crate::backend::balance::{BalancerKind, SessionStore};
use crate::base::secret::Secret;
use crate::config::{
    Diagnostics, ReferencedFiles, Span, Spanned, codes,
    ranges::RangeChecker,
    values::{Setting, non_blank, value_or_default},
};
use crate::net::tls::client::ClientTls;
use crate::plan::blueprint::RouteBlueprint;
use crate::plan::document::{OnFailureDocument, SharedStateDocument, SharedStateModeDocument};
use crate::state::{OnFailure, ServerAddress, SharedStateConfig, SharedStateMode, config::Credentials};
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_millis(25);
const TIMEOUT_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(10));
const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;
const MAX_CONNECTIONS: u64 = 16;
const MAX_PREFIX: usize = 64;
const DEFAULT_PREFIX: &str = "margay";
const DEFAULT_PRIMARY: &str = "mymaster";
const URL_HELP: &str =
    "expected redis://host:port, rediss://host:port or unix:/path, such as redis://127.0.0.1:6379";

/// The settings; `None` without the section, or with an invalid one.
pub(super) fn shared_state(
    document: Option<&Spanned<SharedStateDocument>>,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> Option<SharedStateConfig> {
    let document = document?;
    let mode = match value_or_default(&document.mode) {
        SharedStateModeDocument::Single => SharedStateMode::Single,
        SharedStateModeDocument::Sentinel => SharedStateMode::Sentinel,
        SharedStateModeDocument::Cluster => SharedStateMode::Cluster,
    };
    let Servers { addresses, is_tls, database } = servers(document, mode, diagnostics)?;
    let tls = tls(document, is_tls, mode, attached, diagnostics);
    warn_plain_password(document, &addresses, is_tls, diagnostics);
    report_sentinel_settings(document, mode, diagnostics);
    let prefix = prefix(document, diagnostics);
    let mut range = RangeChecker::for_code(codes::BAD_SHARED_STATE, diagnostics);
    let (min, max) = TIMEOUT_RANGE;
    let timeout = range.time("SharedState.Timeout", &document.timeout, DEFAULT_TIMEOUT, min, max);
    let connections = range.count("SharedState.Connections", &document.connections, MAX_CONNECTIONS);
    Some(SharedStateConfig {
        mode,
        servers: addresses,
        tls,
        credentials: credentials(&document.user, &document.password),
        primary: text(&document.sentinel_primary, DEFAULT_PRIMARY),
        sentinel_credentials: credentials(&document.sentinel_user, &document.sentinel_password),
        database,
        prefix,
        timeout,
        connections: connections.unwrap_or(1) as usize,
        on_failure: match value_or_default(&document.on_failure) {
            OnFailureDocument::Local => OnFailure::Local,
            OnFailureDocument::Refuse => OnFailure::Refuse,
        },
    })
}

/// Reports sticky sessions that are shared without a shared state.
pub(super) fn check_sessions(
    routes: &[RouteBlueprint],
    has_shared_state: bool,
    diagnostics: &mut Diagnostics,
) {
    let clusters = routes.iter().flat_map(|route| [Some(&route.cluster), route.fallback.as_ref()]).flatten();
    let mut reported = Vec::new();
    for balancer in clusters.map(|cluster| &cluster.balancer).filter(|_| !has_shared_state) {
        let is_shared =
            matches!(&balancer.value, BalancerKind::Sticky(sticky) if sticky.store == SessionStore::Shared);
        if is_shared && !reported.contains(&balancer.origin) {
            reported.push(balancer.origin);
            diagnostics
                .error(codes::NO_SHARED_STATE, balancer.origin, "\"Scope\": \"Shared\" without SharedState")
                .help("add the section: \"SharedState\": { \"Url\": \"redis://127.0.0.1:6379\" }");
        }
    }
}

fn text(set: &Setting<String>, default: &str) -> String {
    non_blank(set).map_or(default, |text| text.trim()).to_owned()
}

fn credentials(user: &Setting<String>, password: &Setting<Secret>) -> Credentials {
    Credentials {
        user: non_blank(user).map(|user| user.trim().to_owned()),
        password: password.as_ref().map(|password| password.value.clone()).filter(|p| !p.reveal().is_empty()),
    }
}

/// The servers of all URLs.
struct Servers {
    addresses: Vec<ServerAddress>,
    is_tls: bool,
    database: u32,
}

/// One URL.
struct ServerUrl {
    address: ServerAddress,
    is_tls: bool,
    database: u32,
}

fn servers(
    document: &Spanned<SharedStateDocument>,
    mode: SharedStateMode,
    diagnostics: &mut Diagnostics,
) -> Option<Servers> {
    let Some(list) = document.url.as_ref().filter(|list| !list.value.0.is_empty()) else {
        diagnostics.error(codes::BAD_SHARED_STATE, document.span, "SharedState has no Url").help(URL_HELP);
        return None;
    };
    let mut urls = Vec::new();
    for text in &list.value.0 {
        match parse_url(text.trim(), mode) {
            Ok(url) => urls.push(url),
            Err(reason) => {
                let message = match text.contains('@') {
                    // It may contain a password.
                    true => format!("invalid SharedState.Url: {reason}"),
                    false => format!("invalid SharedState.Url \"{}\": {reason}", text.value),
                };
                diagnostics.error(codes::BAD_SHARED_STATE, text.span, message).help(URL_HELP);
            }
        }
    }
    let first = urls.first()?;
    let (is_tls, database) = (first.is_tls, first.database);
    if urls.iter().any(|url| (url.is_tls, url.database) != (is_tls, database)) {
        let message = "the entries of SharedState.Url differ in scheme or database";
        diagnostics.error(codes::BAD_SHARED_STATE, list.span, message).help("use the same in all entries");
    }
    if mode == SharedStateMode::Single && urls.len() > 1 {
        let message = "SharedState.Url has several servers, and Mode is \"single\"";
        diagnostics
            .error(codes::BAD_SHARED_STATE, list.span, message)
            .help("set Mode to \"sentinel\" or \"cluster\", or keep one server");
    }
    Some(Servers { is_tls, database, addresses: urls.into_iter().map(|url| url.address).collect() })
}

fn parse_url(text: &str, mode: SharedStateMode) -> Result<ServerUrl, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        return parse_socket(path.strip_prefix("//").unwrap_or(path), mode);
    }
    let (is_tls, rest) = match (text.strip_prefix("redis://"), text.strip_prefix("rediss://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err("its scheme is unknown"),
    };
    if rest.contains('@') {
        return Err("it contains a user or a password; set User and Password");
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let database = match path {
        "" => 0,
        path => path.parse().map_err(|_| "its path must be the number of a database")?,
    };
    if mode == SharedStateMode::Cluster && database != 0 {
        return Err("a cluster has only database 0");
    }
    let default = if mode == SharedStateMode::Sentinel { DEFAULT_SENTINEL_PORT } else { DEFAULT_PORT };
    Ok(ServerUrl { address: parse_address(authority, default)?, is_tls, database })
}

fn parse_socket(path: &str, mode: SharedStateMode) -> Result<ServerUrl, &'static str> {
    match path.starts_with('/') {
        _ if mode != SharedStateMode::Single => Err("a Unix domain socket needs Mode \"single\""),
        true => Ok(ServerUrl { address: ServerAddress::Unix(path.into()), is_tls: false, database: 0 }),
        false => Err("its path must be absolute"),
    }
}

fn parse_address(text: &str, default_port: u16) -> Result<ServerAddress, &'static str> {
    let authority: http::uri::Authority = text.parse().map_err(|_| "its host or port is malformed")?;
    let port = match &authority.as_str()[authority.host().len()..] {
        "" => default_port,
        port => {
            let port = port.trim_start_matches(':').parse().ok();
            port.filter(|port| *port > 0).ok_or("its port must be 1 to 65535")?
        }
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err("it has no host");
    }
    Ok(ServerAddress::Tcp { host, port })
}

fn tls(
    document: &SharedStateDocument,
    is_tls: bool,
    mode: SharedStateMode,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> Option<ClientTls> {
    let options = document.tls.as_ref();
    if let Some(options) = options.filter(|_| !is_tls) {
        let message = "SharedState.Tls has no effect: Url is used without TLS";
        diagnostics
            .error(codes::BAD_SHARED_STATE, options.span, message)
            .help("use rediss:// in Url, or remove Tls");
    }
    let name = options.and_then(|options| non_blank(&options.server_name));
    if let Some(name) = name.filter(|_| mode == SharedStateMode::Cluster) {
        let message = "SharedState.Tls.ServerName has no effect with Mode \"cluster\"";
        diagnostics
            .error(codes::BAD_SHARED_STATE, name.span, message)
            .help("remove it: the certificate of each node contains the host that the cluster announces");
    }
    let read = options.map(|options| options.client_tls(Some(attached), diagnostics));
    is_tls.then(|| read.unwrap_or_default())
}

fn warn_plain_password(
    document: &SharedStateDocument,
    addresses: &[ServerAddress],
    is_tls: bool,
    diagnostics: &mut Diagnostics,
) {
    let is_remote = addresses.iter().any(|address| match address {
        ServerAddress::Unix(_) => false,
        ServerAddress::Tcp { host, .. } => {
            let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
            !is_loopback && !host.eq_ignore_ascii_case("localhost")
        }
    });
    let passwords = [&document.password, &document.sentinel_password];
    if let Some(password) = passwords.into_iter().flatten().next().filter(|_| is_remote && !is_tls) {
        diagnostics
            .warning(
                codes::SHARED_STATE_PLAIN,
                password.span,
                "the password of the shared state is sent without TLS",
            )
            .help("use rediss:// in SharedState.Url");
    }
}

fn report_sentinel_settings(
    document: &SharedStateDocument,
    mode: SharedStateMode,
    diagnostics: &mut Diagnostics,
) {
    let settings: [(&str, Option<Span>); 3] = [
        ("SentinelPrimary", document.sentinel_primary.as_ref().map(|set| set.span)),
        ("SentinelUser", document.sentinel_user.as_ref().map(|set| set.span)),
        ("SentinelPassword", document.sentinel_password.as_ref().map(|set| set.span)),
    ];
    for (name, span) in settings {
        if let Some(span) = span.filter(|_| mode != SharedStateMode::Sentinel) {
            let message = format!("SharedState.{name} has no effect: Mode is \"{}\"", mode.name());
            diagnostics
                .error(codes::BAD_SHARED_STATE, span, message)
                .help("remove it, or set Mode to \"sentinel\"");
        }
    }
}

fn prefix(document: &SharedStateDocument, diagnostics: &mut Diagnostics) -> String {
    let Some(prefix) = document.prefix.as_ref() else { return DEFAULT_PREFIX.to_owned() };
    let is_valid = (1..=MAX_PREFIX).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if !is_valid {
        diagnostics
            .error(
                codes::BAD_SHARED_STATE,
                prefix.span,
                format!("invalid SharedState.Prefix \"{}\"", prefix.value),
            )
            .help("must be 1 to 64 letters, digits and ._-");
    }
    prefix.value.clone()
}
