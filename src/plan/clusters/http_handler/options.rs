//! `HttpHandlerOptions` as the document has them.

use crate::base::units::DurationText;
use crate::config::options::option_objects;
use crate::config::values::Setting;

option_objects! {
    /// Connections to the backend: pool size, lifetime and PROXY protocol.
    HttpHandlerOptions, GlobalHttpHandlerOptions {
        /// Whether redirects are followed. Default: false. Source: Ocelot, Configuration.
        allow_auto_redirect: Setting<bool>,
        /// Maximum number of connections to one endpoint, across all workers and including idle ones; requests over the
        /// limit are queued. Default: no limit; 0 and negative values also mean no limit. Source: Ocelot,
        /// Configuration.
        max_connections_per_server: Setting<i32>,
        /// Requests that may wait for one of these connections; beyond it 503 `backend.connection_limit`. 0 or more.
        /// Default: 1024.
        connection_queue_limit: Setting<i64>,
        /// How long a request may wait for a connection; then 503 `backend.connection_limit`. If requests would wait
        /// longer, the backend is overloaded: the newest are served first, and the oldest are rejected early. 1ms to 10m.
        /// Default: the remaining time of `Timeout`; 500ms for the comparison.
        connection_queue_timeout: Setting<DurationText>,
        /// Maximum age in seconds at which a connection is reused; 0: every connection serves one request. Default:
        /// 120. Source: Ocelot, Configuration.
        pooled_connection_lifetime_seconds: Setting<i32>,
        /// The PROXY protocol header that carries the client's address to the backend: `V1`, `V2` or `None`. With it, a
        /// connection serves one client only. Default: `None`. Source: HAProxy, PROXY protocol versions 1 and 2.
        proxy_protocol: Setting<String>,
        /// Whether cookies of the backend are stored, for all clients together. Default: false. Source: Ocelot,
        /// Configuration.
        use_cookie_container: Setting<bool>,
        /// Whether the proxy of the system is used. Default: false. Source: Ocelot, Configuration.
        use_proxy: Setting<bool>,
        /// Whether calls are traced. Default: false. Source: Ocelot, Tracing.
        use_tracing: Setting<bool>,
    }
}
