//! The table of stages: one line per stage, in the order in which requests pass them. The order of keys in the
//! document never matters; the order of this table does.
//!
//! A line with `=>` also declares a feature: its field in the documents that have its options, with the description,
//! the type of the options in the module of the same name, and the documents that have them in addition to routes,
//! policies and `GlobalConfiguration`. Documents, inheritance, `RouteKeys`, blueprints, state and the building of
//! stages are generated from these lines.
//!
//! A stage without options names the field of its configuration behind `route` or, where all routes have the same one,
//! behind `gateway`; the compiler of routes or of the document sets the field.

use super::feature::{self, BuildContext, Feature, StageConfig};
use crate::{base::clock::Clock, net::background::BackgroundRuntime, pipeline::stage::BoxStage};

/// Passes the table to a macro: `{ payload } line; line; ...`.
macro_rules! with_stages {
    ($callback:ident { $($payload:tt)* }) => {
        $callback! {
            { $($payload)* }
            "AccessLogOptions" (access_log::NAME,
                "outermost: it records the request as the client sent it, and the response as the client gets it") => {
                /// The access log: sampling, and what it contains of query, headers and client address. Default: all
                /// requests, without query and headers.
                access_log: AccessLogOptions [aggregate dynamic _]
            };
            "ForwardedHeaders" (forwarded_headers::NAME, gateway forwarded_headers: ForwardedHeaders,
                "before every stage that needs the client and the scheme");
            "Listeners.Tls.ClientCertificates" (client_certificate::NAME, gateway client_certificate: ForwardClientCertificate,
                "next to the other headers that clients could forge");
            "RequestIdKey" (request_id::NAME, route request_id: RequestIdHeader,
                "before any stage that rejects: a rejected request has an id too");
            "TraceContext" (trace_context::NAME, gateway trace_context: Mode,
                "next to the request id, which defaults to the trace id; {TraceId} is read from it");
            "CorsOptions" (cors::NAME,
                "outside every stage that rejects: a page must be able to read the error") => {
                /// CORS (cross-origin resource sharing): which web origins may read the responses. Default: off; CORS headers of
                /// the backend are passed through.
                cors: CorsOptions [aggregate _ _]
            };
            "CompressionOptions" (compression::NAME,
                "outside the header transforms, which may change Accept-Encoding, and outside the cache, which stores what \
                 the backend sent: hits are compressed for each client") => {
                /// Response compression. Default: off.
                compression: CompressionOptions [aggregate dynamic _]
            };
            "SecurityOptions" (ip_filter::NAME,
                "a blocked address costs nothing more than this (Ocelot's step 7)") => {
                /// IP filter: client addresses that are allowed or blocked. Default: all are allowed. Source: Ocelot, Security.
                ip_filter: SecurityOptions [aggregate _ _]
            };
            "Apis.SubscriptionRequired" (subscription::NAME, route subscription: SubscriptionCheck,
                "after the addresses, before limits and authentication: an unknown key costs one look-up");
            "CorsOptions" (cors::NAME_PREFLIGHT,
                "browsers send preflights without credentials and as often as they like: before authentication and limits");
            "Waf" (waf::NAME_EARLY, route waf: WafRoute,
                "custom rules and bots of the firewall need no body and cost nothing: directly behind the address lists and \
                 preflights, before authentication");
            "RequestSizeOptions" (request_size::NAME,
                "a request that is too large is rejected before it is counted, and before the backend is called") => {
                /// Request size limits. Default: those of `Limits`.
                request_size: RequestSizeOptions [_ _ _]
            };
            "Limits.MaxWebSocketsPerClient" (websocket_limit::NAME, gateway websocket_limit: WebSocketsPerClient,
                "a long-lived connection is rejected before any work is done for it");
            "UpstreamHeaderTransform, DownstreamHeaderTransform" (header_transform::NAME, route header_transform: Headers,
                "before any stage that reads headers: limits and authentication see the result (Ocelot's step 9)");
            "SignalROptions" (signalr::NAME,
                "before the rate limits, which count negotiations and not the requests of open connections") => {
                /// SignalR servers behind the route: requests of a connection reach the server that owns it. Default: off.
                signalr: SignalROptions [_ _ _]
            };
            "RateLimitOptions" (rate_limit::NAME,
                "after the header transforms, before authentication: attempts count too (Ocelot's step 11)") => {
                /// Rate limiting: how many calls a client may make in a period. Default: no limit. Source: Ocelot, Rate Limiting.
                rate_limit: RateLimitOptions [aggregate dynamic _]
            };
            "AuthenticationOptions" (authentication::NAME,
                "before every stage that needs the caller's identity (Ocelot's step 14)") => {
                /// Authentication: which callers are accepted. Default: all callers, without authentication. Source: Ocelot,
                /// Authentication.
                authentication: AuthenticationOptions [aggregate dynamic _]
            };
            "AuthenticationSchemes" (authentication::NAME_SESSION_COOKIES, gateway session_cookies: SessionCookies,
                "behind authentication, which reads them: no backend gets the cookies of sign-in sessions");
            "AddClaimsToRequest" (claims::ADD_CLAIMS, route add_claims: AddClaims,
                "before authorization, which sees the added claims (Ocelot's step 15)");
            "AllowedScopes, RouteClaimsRequirement, RouteClaimsExpression" (authorization::NAME, route authorization: Authorization,
                "once the caller is known, before the request is changed by its claims (Ocelot's step 17)");
            "RateLimitOptions.PartitionBy" (rate_limit::NAME_BY_CLAIM,
                "claims are known only now, and unauthorized callers do not use up a quota");
            "ConcurrencyLimitOptions" (concurrency_limit::NAME,
                "a slot is taken only by an authorized request, and held until the response is complete") => {
                /// Concurrency limit: how many requests may be in flight. Default: no limit.
                concurrency_limit: ConcurrencyLimitOptions [aggregate _ _]
            };
            "WafPolicies" (waf::NAME,
                "managed rules cost time: only authorized requests within their limits reach them, and no blocked request \
                 reaches the cache");
            "AddHeadersToRequest" (claims::ADD_HEADERS, route add_headers: AddHeaders,
                "after the header transforms: nothing overwrites the caller's claims (Ocelot's step 18)");
            "AddQueriesToRequest" (claims::ADD_QUERIES, route add_queries: AddQueries,
                "before the backend URL is built from the query (Ocelot's step 20)");
            "ChangeDownstreamPathTemplate" (claims::CHANGE_PATH, route change_path: ChangePath,
                "before the backend URL is built from the path parameters (Ocelot's step 20)");
            "Compatibility" (ascii_headers::NAME, gateway ascii_headers: AsciiHeaders,
                "after every stage that writes headers: Ocelot checks them when it sends them");
            "DownstreamHttpMethod" (method::NAME, route method: MethodOverride,
                "after every stage that depends on the client's method");
            "CacheOptions" (cache::NAME,
                "after every stage that rejects, counts or rewrites: a hit is counted and shaped as if the backend had \
                 responded (Ocelot's step 22)") => {
                /// Response caching. Default: off. Source: Ocelot, Caching.
                cache: CacheOptions [_ dynamic _]
            };
            "CacheOptions.Mode" (cache::NAME_INVALIDATE,
                "in the same place on routes without a cache: what they change, others may have cached");
            "DelegatingHandlers" (custom::NAME, route custom: CustomStages,
                "innermost, as in Ocelot: next to the backend, in the order in which the route names them");
            "FixtureOptions" (fixture::NAME, "anywhere: only tests have it") => {
                /// A feature of tests.
                #[cfg(test)]
                #[schemars(skip)]
                fixture: FixtureOptions [_ _ _]
            };
            "Via" (via::NAME, gateway via: Via,
                "last: it records that the request passed here");
        }
    };
}
pub(crate) use with_stages;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct StageOrder {
    pub name: &'static str,
    /// The setting that enables it.
    pub setting: &'static str,
    /// The reason for its position.
    pub reason: &'static str,
}

macro_rules! stage_table {
    ({} $(
        $setting:literal (
            $name:ident :: $constant:ident,
            $(gateway $gateway:ident: $gateway_config:ident,)? $(route $route:ident: $route_config:ident,)?
            $reason:literal
        ) $(=> {
            $(#[doc = $doc:literal])* $(#[cfg($($cfg:tt)*)] #[schemars($($schemars:tt)*)])?
            $field:ident: $options:ident [$($documents:tt)*]
        })?;
    )*) => {
        /// The stages from the outside in.
        pub const TABLE: &[StageOrder] = &[$(
            $($(#[cfg($($cfg)*)])?)?
            StageOrder { name: super::$name::$constant, setting: $setting, reason: $reason },
        )*];

        /// The configurations of the stages of a route; `None`: the route does not use the stage.
        #[derive(Clone, Debug, Default)]
        pub struct StageConfigs {
            $($($(#[cfg($($cfg)*)])? pub $field: Option<Config<super::$field::$options>>,)?)*
            $($(pub $route: Option<super::$name::$route_config>,)?)*
        }

        /// The configurations of the stages that are the same on every route.
        #[derive(Clone, Debug, Default)]
        pub struct GatewayStages {
            $($(pub $gateway: Option<super::$name::$gateway_config>,)?)*
        }

        /// The state of the stages that outlives plans, each part under its own keys.
        #[derive(Debug, Default)]
        pub struct StageState {
            $($($(#[cfg($($cfg)*)])? pub $field: State<Config<super::$field::$options>>,)?)*
            $($($gateway: State<super::$name::$gateway_config>,)?)*
            $($($route: State<super::$name::$route_config>,)?)*
        }

        impl StageConfigs {
            /// The stages of a route, in the order of the table.
            pub fn build(
                &self,
                gateway: &GatewayStages,
                state: &StageState,
                context: &BuildContext,
            ) -> Box<[BoxStage]> {
                let mut stages = Vec::new();
                $($($(#[cfg($($cfg)*)])? stages.extend(feature::build(&self.$field, &state.$field, context));)?)*
                $($(stages.extend(feature::build(&gateway.$gateway, &state.$gateway, context));)?)*
                $($(stages.extend(feature::build(&self.$route, &state.$route, context));)?)*
                sort_by_table(stages)
            }
        }

        impl StageState {
            /// Starts the tasks that bound the state.
            pub fn maintain(&self, background: &BackgroundRuntime, clock: &Clock) {
                $($($(#[cfg($($cfg)*)])? Config::<super::$field::$options>::maintain(&self.$field, background, clock);)?)*
                $($(<super::$name::$route_config as StageConfig>::maintain(&self.$route, background, clock);)?)*
            }
        }
    };
}

type Config<T> = <T as Feature>::Config;
type State<C> = <C as StageConfig>::State;

with_stages! { stage_table {} }

/// Puts compiled stages into the order of the table.
fn sort_by_table(mut stages: Vec<BoxStage>) -> Box<[BoxStage]> {
    debug_assert!(stages.iter().all(|stage| TABLE.iter().any(|place| place.name == stage.name())));
    stages.sort_by_key(|stage| TABLE.iter().position(|place| place.name == stage.name()));
    stages.into()
}

#[cfg(test)]
mod tests {
    use super::super::{method, request_id, via};
    use super::*;

    #[test]
    fn stages_run_in_the_order_of_the_table_whatever_the_order_in_which_they_are_built() {
        let stages: Vec<BoxStage> = vec![
            Box::new(via::Via),
            Box::new(method::MethodOverride::new("post")),
            Box::new(request_id::RequestId::new("X-Id")),
        ];
        let names: Vec<_> = sort_by_table(stages).iter().map(|s| s.name()).collect();
        assert_eq!(names, [request_id::NAME, method::NAME, via::NAME]);
    }
}
