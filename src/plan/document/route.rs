//! `Routes[]` and `DynamicRoutes[]`.

use super::fabric::ServiceFabricOptions;
use super::shared::*;
use crate::config::values::{
    BoxedSetting, DurationSetting, List, ListMap, Setting, StageSettings, StringList,
};
use crate::plan::hubs::documents::NegotiateOptions;
use crate::plan::routing::EscapedSeparators;
use crate::stages::cache::CacheOptions;
use crate::stages::header_transform::options::HeaderEditMap;
use crate::stages::rate_limit::RateLimitOptions;
use schemars::JsonSchema;
use serde::Deserialize;

document! { route:
    /// A route: which requests it matches, which backend they are sent to, and what is applied to them on the way. Settings
    /// that are absent are inherited from the policies of the route, then from `GlobalConfiguration`.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct RouteDocument {
        use path_settings;
        /// The methods to match, case-insensitive. Default: `[]`, every method. Source: Ocelot, Routing.
        #[serde(rename = "UpstreamHttpMethod")]
        pub methods: List<String>,
        use match_settings;
        /// The path of the request to the backend; may contain `{placeholders}` and a query. Required; with
        /// `DownstreamHubService` the default is the path of the request. Source: Ocelot, Routing.
        #[serde(rename = "DownstreamPathTemplate")]
        pub backend_path: Setting<String>,
        /// `http`, `https`, `ws` or `wss`. Default: the scheme of the incoming request. Source: Ocelot, Routing.
        #[serde(rename = "DownstreamScheme")]
        pub scheme: Setting<String>,
        /// Host and port of each endpoint. Required, unless `ServiceName`, `DownstreamCluster`, `DownstreamService` or
        /// `DownstreamHubService` is set. Source: Ocelot, Routing.
        #[serde(rename = "DownstreamHostAndPorts")]
        pub endpoints: List<HostAndPort>,
        /// The name of one of `Clusters`, to which the requests are sent; replaces the endpoints of the route and all
        /// options about them. Default: none.
        #[serde(rename = "DownstreamCluster")]
        pub cluster: Setting<String>,
        /// The name of a service of the gateway itself that responds, instead of a backend: `administration`, the pages
        /// `/live`, `/ready` and `/metrics`, or `ServiceFabricNaming`, the naming interface of a resolver. Names are case-sensitive. Default: none.
        #[serde(rename = "DownstreamService")]
        pub service: Setting<String>,
        /// Sends requests to the replicas of services with names and partitions, instead of `DownstreamHostAndPorts`; with
        /// `"DownstreamService": "ServiceFabricNaming"` the `Resolver` of the naming interface. Default: none.
        #[serde(rename = "ServiceFabricOptions")]
        pub fabric: BoxedSetting<ServiceFabricOptions>,
        /// The name of one of `HubServices`, whose clients and servers the route serves instead of a backend;
        /// `DownstreamPathTemplate` results in a path within the service. Default: none.
        #[serde(rename = "DownstreamHubService")]
        pub hub_service: Setting<String>,
        /// Issues addresses and tokens of a hub to the callers of the route, instead of serving its clients. Default: none.
        #[serde(rename = "NegotiateOptions")]
        pub negotiate: BoxedSetting<NegotiateOptions>,
        /// The method of the request to the backend. Default: the method of the incoming request. Source: Ocelot, Method
        /// Transformation.
        #[serde(rename = "DownstreamHttpMethod")]
        pub backend_method: Setting<String>,
        /// The HTTP version of requests to the backend, such as `1.1` or `2.0`. Default: `1.1`. Source: Ocelot, Routing.
        #[serde(rename = "DownstreamHttpVersion")]
        pub http_version: Setting<String>,
        /// `RequestVersionExact`, `RequestVersionOrLower` or `RequestVersionOrHigher`. Default: `RequestVersionOrLower`.
        /// Source: Ocelot, Routing (since 23.3).
        #[serde(rename = "DownstreamHttpVersionPolicy")]
        pub http_version_policy: Setting<String>,
        /// The name by which aggregates and the `RouteKeys` of global options reference the route. Default: none. Source:
        /// Ocelot, Aggregation.
        pub key: Setting<String>,
        /// The service name in the discovery provider; replaces the list of endpoints. Default: none. Source: Ocelot,
        /// Service Discovery.
        pub service_name: Setting<String>,
        /// The namespace of the service in the discovery provider. Default: that of the provider. Source: Ocelot,
        /// Kubernetes.
        pub service_namespace: Setting<String>,
        use authorization_settings;
        use claims_settings;
        /// Placeholder of `DownstreamPathTemplate` → the claim that replaces its value. Default: `{}`. Source: Ocelot,
        /// Claims Transformation.
        #[serde(rename = "ChangeDownstreamPathTemplate")]
        pub path_claims: StringList,
        use request_header_settings;
        use response_header_settings;
        /// Legacy name of `CacheOptions`; takes precedence if both are present. Source: Ocelot, Caching.
        #[serde(rename = "FileCacheOptions")]
        pub old_cache: BoxedSetting<CacheOptions>,
        use deadline_settings;
        use timeout_settings;
        use certificate_settings;
        use custom_stage_settings;
        use request_id_settings;
        use metadata_settings;
        use policy_settings;
        use host_settings;
        use separator_settings;
        use waf_settings;
    }
}

/// One endpoint of a backend.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostAndPort {
    /// A host name or IP address, without scheme and port; or a Unix domain socket: `unix:/run/app.sock` (relative
    /// paths are resolved against the configuration file), `unix:@name` for a name in the abstract namespace. Required.
    pub host: Setting<String>,
    /// The port, 1 to 65535; not used with a Unix domain socket. Default: the usual port of `DownstreamScheme`, 80 or 443;
    /// required without it. Under `"Compatibility": "Ocelot"` the port of the listener.
    pub port: Setting<i32>,
    /// Load-balancing weight: an endpoint of weight 2 gets twice as many requests as one of weight 1. 1 to 1000. Not
    /// used by `NoLoadBalancer`. Default: 1.
    pub weight: Setting<i64>,
}

document! { dynamic:
    /// Options for one discovered service that does not have a route. Settings that are absent are inherited from the
    /// policies, then from `GlobalConfiguration`.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct DynamicRouteDocument {
        /// The discovered service that these options apply to. Required. Source: Ocelot, Service Discovery.
        pub service_name: Setting<String>,
        /// The namespace of the service. Default: any. Source: Ocelot, Service Discovery.
        pub service_namespace: Setting<String>,
        /// The name by which the `RouteKeys` of global options reference it. Default: none. Source: Ocelot, Configuration.
        pub key: Setting<String>,
        /// `http`, `https`, `ws` or `wss`. Default: the global one. Source: Ocelot, Service Discovery.
        #[serde(rename = "DownstreamScheme")]
        pub scheme: Setting<String>,
        /// The HTTP version of requests to the service, such as `1.1` or `2.0`. Default: the global one. Source: Ocelot,
        /// Routing.
        #[serde(rename = "DownstreamHttpVersion")]
        pub http_version: Setting<String>,
        /// `RequestVersionExact`, `RequestVersionOrLower` or `RequestVersionOrHigher`. Default: the global one. Source:
        /// Ocelot, Routing (since 23.3).
        #[serde(rename = "DownstreamHttpVersionPolicy")]
        pub http_version_policy: Setting<String>,
        /// Legacy name of `RateLimitOptions`; takes precedence if both are present. Source: Ocelot, Rate Limiting.
        #[serde(rename = "RateLimitRule")]
        pub old_rate_limit: BoxedSetting<RateLimitOptions>,
        use timeout_settings;
        use metadata_settings;
        use policy_settings;
        use waf_settings;
    }
}

impl RouteDocument {
    /// Moves options under legacy names to the current ones; the legacy name takes precedence.
    pub(super) fn fold_old_names(&mut self) {
        self.cache = self.old_cache.take().or(self.cache.take());
    }
}

impl DynamicRouteDocument {
    /// Moves options under legacy names to the current ones; the legacy name takes precedence.
    pub(super) fn fold_old_names(&mut self) {
        self.rate_limit = self.old_rate_limit.take().or(self.rate_limit.take());
    }
}
