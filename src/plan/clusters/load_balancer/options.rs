//! `LoadBalancerOptions` as the document has them.

use crate::config::options::option_objects;
use crate::config::values::Setting;

option_objects! {
    /// Load balancing: how an endpoint is selected for each request.
    LoadBalancerOptions, GlobalLoadBalancerOptions {
        /// The load balancer, case-sensitive: `NoLoadBalancer`, `RoundRobin` (weighted), `LeastConnection` or
        /// `CookieStickySessions`; margay's own: `LeastRequest` (power of two choices: the less loaded of two random
        /// endpoints), `PeakEwma` (of two random endpoints the one with the lower latency and load), `Random` and
        /// `ConsistentHash`. Default: `NoLoadBalancer`, always the first endpoint. Source: Ocelot, Load Balancer.
        #[serde(rename = "Type")]
        kind: Setting<String>,
        /// The cookie of sticky sessions. Default: `.AspNetCore.Session`; with `SetCookie` `MargayEndpoint`. Source:
        /// Ocelot, Load Balancer.
        key: Setting<String>,
        /// Milliseconds after which an unused sticky session expires. Default: 1200000. With `SetCookie`: the lifetime
        /// of the cookie; default: until the browser is closed. Source: Ocelot, Load Balancer.
        expiry: Setting<i32>,
        /// CookieStickySessions. Whether the gateway sets the cookie itself, with the endpoint as its value: no session
        /// state is stored, and every gateway with the same endpoints accepts the cookie. Default: false.
        set_cookie: Setting<bool>,
        /// CookieStickySessions. Which gateways know a session: `Node`, the one that made it, or `Shared`, all with the same
        /// `SharedState`; not with `SetCookie`, which needs no sessions. Default: `Node`.
        scope: Setting<String>,
        /// ConsistentHash. The hash key: requests with equal keys go to the same endpoint. `IP`, `Header:NAME`,
        /// `Cookie:NAME` or `Path:PLACEHOLDER`; a request without the value is hashed by its client address. Default:
        /// `IP`.
        hash_on: Setting<String>,
    }
}
