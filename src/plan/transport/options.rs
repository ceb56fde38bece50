//! `TransportOptions` as the document has them. In `GlobalConfiguration` they have no `RouteKeys`.

use crate::base::units::DurationText;
use crate::config::{options::or_inherit, values::Setting};
use schemars::JsonSchema;
use serde::Deserialize;

/// Timeouts and limits of connections and UDP sessions that are forwarded as they are.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TransportOptions {
    /// Time to connect to an endpoint, for each attempt. 1ms to 10m. Default: `Limits.ConnectTimeout`.
    pub connect_timeout: Setting<DurationText>,
    /// Maximum number of endpoints that are tried, one after the other. 1 to 10. Default: 3.
    pub connect_attempts: Setting<i64>,
    /// How long a connection or UDP session may be silent in both directions. 1s to 30d. Default: `1h`; UDP `1m`.
    pub idle_timeout: Setting<DurationText>,
    /// The same after one side has ended sending. 1s to 30d, at most `IdleTimeout`. Default: `5m`, or `IdleTimeout` if that
    /// is shorter.
    pub half_close_timeout: Setting<DurationText>,
    /// Time to receive the complete ClientHello, if a route of the listener depends on it; the shortest of the listener's
    /// routes. 100ms to 1m. Default: `5s`.
    pub hello_timeout: Setting<DurationText>,
    /// Connections and UDP sessions end after this time. 1s to 30d. Default: no limit.
    pub max_connection_duration: Setting<DurationText>,
    /// Maximum number of open connections or UDP sessions of the route. 1 or more. Default: no limit.
    pub max_connections: Setting<i64>,
    /// The PROXY protocol header with the addresses of the client that is sent to the service first: `None`, `V1` or `V2`.
    /// Not on UDP. Default: `None`.
    pub proxy_protocol: Setting<String>,
    /// UDP: the number of datagrams of the service after which a session ends, such as 1 for DNS. 1 to 1000000. Default: no
    /// limit.
    pub replies: Setting<i64>,
}

impl TransportOptions {
    /// Setting by setting: these options, or those of `base` where they are absent.
    #[must_use]
    pub fn inherit_from(&self, base: &TransportOptions) -> TransportOptions {
        TransportOptions {
            connect_timeout: or_inherit(&self.connect_timeout, &base.connect_timeout),
            connect_attempts: or_inherit(&self.connect_attempts, &base.connect_attempts),
            idle_timeout: or_inherit(&self.idle_timeout, &base.idle_timeout),
            half_close_timeout: or_inherit(&self.half_close_timeout, &base.half_close_timeout),
            hello_timeout: or_inherit(&self.hello_timeout, &base.hello_timeout),
            max_connection_duration: or_inherit(&self.max_connection_duration, &base.max_connection_duration),
            max_connections: or_inherit(&self.max_connections, &base.max_connections),
            proxy_protocol: or_inherit(&self.proxy_protocol, &base.proxy_protocol),
            replies: or_inherit(&self.replies, &base.replies),
        }
    }
}
