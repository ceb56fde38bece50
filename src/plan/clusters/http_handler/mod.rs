//! `HttpHandlerOptions` → connections to a backend: pooling and the maximum number of connections.
//!
//! Envoy's cluster circuit breakers (`max_connections`) and connection pools, nginx's `keepalive` and `max_conns`,
//! .NET's `SocketsHttpHandler`. Entry point: [`pool_config`], called by `plan::compile::cluster`. The result is plain
//! settings; connection pools belong to the workers and outlive a reload under the key of the transport.

mod options;

pub use options::{GlobalHttpHandlerOptions, HttpHandlerOptions};

use crate::base::units::DurationText;
use crate::config::values::{Setting, non_blank};
use crate::config::{Diagnostics, OcelotBehavior, OcelotTolerated, Span, Spanned, codes};
use crate::net::connection_limit::{ConnectionLimit, PoolConfig};
use crate::net::proxy_protocol::Version;
use std::time::Duration;

/// Default queue limit: requests that may wait for a connection.
const QUEUE_RANGE: usize = 1024;
const TIMEOUT_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);

/// The pool settings; a negative lifetime was reported elsewhere and is replaced by the default.
pub fn pool_config(client: Option<&ResolvedHttpHandler>, diagnostics: &mut Diagnostics) -> PoolConfig {
    let lifetime = client.and_then(|client| client.connection_lifetime.as_ref());
    let lifetime = lifetime.and_then(|seconds| u64::try_from(seconds.value).ok());
    let lifetime = Some(lifetime.map_or(ResolvedHttpHandler::DEFAULT_LIFETIME, Duration::from_secs));
    let announces = client.and_then(|client| proxy_protocol_version(client, diagnostics));
    PoolConfig {
        proxy_protocol: announces,
        limit: client.and_then(|client| limit(client, diagnostics)),
        max_lifetime: lifetime,
    }
}

/// The PROXY protocol version that is sent to backends.
fn proxy_protocol_version(client: &ResolvedHttpHandler, diagnostics: &mut Diagnostics) -> Option<Version> {
    const VERSIONS: [(&str, Option<Version>); 3] =
        [("V1", Some(Version::V1)), ("V2", Some(Version::V2)), ("None", None)];
    let name = non_blank(&client.proxy_protocol)?;
    let found = VERSIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
    if found.is_none() {
        let message = format!("unknown ProxyProtocol \"{}\"", name.value);
        diagnostics
            .error(codes::UNKNOWN_CHOICE, name.span, message)
            .help("expected \"V1\", \"V2\" or \"None\"");
    }
    found.and_then(|(_, version)| *version)
}

/// The same for a named cluster: Ocelot has none, so nothing is tolerated for compatibility.
pub fn cluster_pool_config(
    client: Option<&ResolvedHttpHandler>,
    diagnostics: &mut Diagnostics,
) -> PoolConfig {
    if let Some(lifetime) = client.and_then(|client| client.connection_lifetime.as_ref())
        && let Err(error) = connection_lifetime(lifetime.value)
    {
        error.report(diagnostics, false, lifetime.span);
    }
    pool_config(client, diagnostics)
}

fn limit(client: &ResolvedHttpHandler, diagnostics: &mut Diagnostics) -> Option<ConnectionLimit> {
    let mut report = |span: Span, message: String, help: &str| {
        diagnostics.error(codes::BAD_CONNECTION_QUEUE, span, message).help(help);
    };
    if let Some(queue) = client.queue_limit.as_ref().filter(|queue| queue.value < 0) {
        report(queue.span, format!("invalid ConnectionQueueLimit {}", queue.value), "must be 0 or more");
    }
    if let Some(time) = client.queue_timeout.as_ref().filter(|time| !TIMEOUT_RANGE.contains(&time.value.0)) {
        report(
            time.span,
            format!("invalid ConnectionQueueTimeout {}", time.value),
            "must be between 1ms and 10m",
        );
    }
    let span =
        client.queue_limit.as_ref().map(|set| set.span).or(client.queue_timeout.as_ref().map(|set| set.span));
    let Some(max) = &client.max_connections else {
        if let Some(span) = span {
            let message = "the connection queue has no effect without MaxConnectionsPerServer".to_owned();
            report(span, message, "set MaxConnectionsPerServer, or remove the queue settings");
        }
        return None;
    };
    Some(ConnectionLimit {
        max_connections: usize::try_from(max.value).unwrap_or(1),
        max_pending: client
            .queue_limit
            .as_ref()
            .map_or(QUEUE_RANGE, |queue| usize::try_from(queue.value).unwrap_or(0)),
        pending_timeout: client.queue_timeout.as_ref().map(|time| time.value.0),
    })
}

/// Settings of the client that calls a backend.
#[derive(Clone, Debug)]
pub struct ResolvedHttpHandler {
    pub follow_redirects: Option<Spanned<bool>>,
    /// `None`: no limit.
    pub max_connections: Option<Spanned<i32>>,
    pub queue_limit: Option<Spanned<i64>>,
    pub queue_timeout: Option<Spanned<DurationText>>,
    pub connection_lifetime: Option<Spanned<i32>>,
    pub proxy_protocol: Option<Spanned<String>>,
    pub cookies: Option<Spanned<bool>>,
    pub proxy: Option<Spanned<bool>>,
    pub tracing: Option<Spanned<bool>>,
}

impl ResolvedHttpHandler {
    /// Default maximum age in seconds of a reused connection.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(120);

    /// Retains only what is enabled or differs from the default.
    pub fn resolve(options: &HttpHandlerOptions) -> Self {
        let on = |set: &Setting<bool>| set.as_ref().filter(|on| on.value).cloned();
        let connections = options.max_connections_per_server.as_ref();
        ResolvedHttpHandler {
            follow_redirects: on(&options.allow_auto_redirect),
            max_connections: connections.filter(|n| n.value > 0 && n.value < i32::MAX).cloned(),
            queue_limit: options.connection_queue_limit.clone(),
            queue_timeout: options.connection_queue_timeout.clone(),
            connection_lifetime: options.pooled_connection_lifetime_seconds.clone(),
            proxy_protocol: options.proxy_protocol.clone(),
            cookies: on(&options.use_cookie_container),
            proxy: on(&options.use_proxy),
            tracing: on(&options.use_tracing),
        }
    }
}

/// Settings of Ocelot's HTTP client that are not supported.
pub fn check_http_handler(ocelot: bool, client: &ResolvedHttpHandler, diagnostics: &mut Diagnostics) {
    let rows = [
        (&client.follow_redirects, "AllowAutoRedirect", "follow redirects; they are passed to the client"),
        (&client.cookies, "UseCookieContainer", "store cookies of backends, which all clients would share"),
        (&client.proxy, "UseProxy", "use the proxy of the system"),
        (&client.tracing, "UseTracing", "send traces to Butterfly or OpenTracing"),
    ];
    for (set, name, what) in rows {
        let Some(set) = set else { continue };
        let message = format!("\"{name}\": true has no effect: this gateway does not {what}");
        diagnostics
            .error_or_ocelot_warning(ocelot, codes::NEVER_SUPPORTED, set.span, message)
            .help(format!("remove it, or set \"{name}\": false"));
    }
}

/// Maximum age of a pooled connection in seconds.
pub fn connection_lifetime(seconds: i32) -> Result<(), OcelotTolerated> {
    let message = format!("PooledConnectionLifetimeSeconds is {seconds}");
    if seconds < 0 {
        Err(OcelotTolerated::new(codes::BAD_LIFETIME, OcelotBehavior::Status(500), message))
    } else {
        Ok(())
    }
}
