//! How backends are called: load balancing, health checks, connections, TLS, circuit breakers, retries and fallbacks.
//! Envoy configures these on clusters and in the retry policy of routes, nginx in `upstream` blocks.
//!
//! Each folder holds the options of one feature as the document has them and their compiler; one entry of the table below
//! places the options in the documents. Inheritance, `RouteKeys` and the checks of groups are generated from it.

pub mod buffering;
pub mod data_rate;
pub mod fallback;
pub mod health;
pub mod http_handler;
pub mod load_balancer;
pub mod qos;
pub mod retry;
pub mod tls;

/// The module of each setting that is a data rate, as the table below names it.
pub use self::{data_rate as min_request_body_data_rate, data_rate as min_response_data_rate};

use super::document::{ClusterDocument, DynamicRouteDocument, GlobalDocument, RouteDocument};
use super::stage_options::{check_route_keys, if_carried};
use crate::config::options::{GlobalGroup, Options, merge};
use crate::config::values::{BoxedSetting, Setting};
use crate::config::{Diagnostics, Span};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Deref;

/// Passes the table to a macro: `{ payload } entry; entry; ...`. An entry has the setting, the field with its
/// description, its options, and the documents that have it in addition to routes, policies and
/// `GlobalConfiguration`.
macro_rules! with_cluster_options {
    ($callback:ident { $($payload:tt)* }) => {
        $callback! {
            { $($payload)* }
            "LoadBalancerOptions" () => {
                /// Load balancing: how an endpoint is selected for each request. Default: `NoLoadBalancer`, always the first
                /// endpoint. Source: Ocelot, Load Balancer.
                load_balancer: LoadBalancerOptions [_ dynamic cluster]
            };
            "HealthCheckOptions" () => {
                /// Health checks: which endpoints are eligible for requests. Default: all endpoints are eligible.
                health: HealthCheckOptions [_ _ cluster]
            };
            "HttpHandlerOptions" () => {
                /// Connections to the backend: pool size, lifetime and PROXY protocol. Source: Ocelot, Configuration.
                http_handler: HttpHandlerOptions [_ dynamic cluster]
            };
            "Buffering" () => {
                /// Buffers that free a connection to the backend early. Default: 64 KiB of a response; on clusters with
                /// `MaxConnectionsPerServer` also 64 KiB of a request.
                buffering: BufferingOptions [_ dynamic _]
            };
            "MinRequestBodyDataRate" () => {
                /// Minimum rate of a request body while the gateway waits for it; a slower client gets 408. gRPC calls are
                /// exempt. Default: `Limits.MinRequestBodyDataRate`. Source: Kestrel, `MinRequestBodyDataRate`.
                min_request_body_data_rate: RequestDataRateOptions [_ dynamic _]
            };
            "MinResponseDataRate" () => {
                /// Minimum rate at which a client accepts a response while the gateway waits for it; the connection of a
                /// slower client is closed. Default: `Limits.MinResponseDataRate`. Source: Kestrel, `MinResponseDataRate`.
                min_response_data_rate: ResponseDataRateOptions [_ dynamic _]
            };
            "TlsOptions" () => {
                /// TLS connections to the backend: trusted authorities, client certificate and server name. Default: the trusted
                /// authorities of the system, no client certificate.
                tls: TlsOptions [_ _ cluster]
            };
            "QoSOptions" () => {
                /// Circuit breaker and timeout. Default: none. Source: Ocelot, Quality of Service.
                qos: QosOptions [_ dynamic _]
            };
            "RetryOptions" () => {
                /// Retries of failed attempts. Default: none, except one retry when a reused connection turns out to be closed.
                retry: RetryOptions [_ _ _]
            };
            "FallbackOptions" () => {
                /// Fallback: the response when all attempts failed. Default: the error response.
                fallback: FallbackOptions [_ _ _]
            };
        }
    };
}
pub(crate) use with_cluster_options;

/// Options that apply to a route or cluster: its own over those of `GlobalConfiguration`.
#[derive(Clone, Debug)]
pub struct Effective<'d, T: Clone> {
    options: Cow<'d, T>,
    /// Where the route or cluster sets them.
    pub own_span: Option<Span>,
    /// Where `GlobalConfiguration` sets them.
    pub global_span: Option<Span>,
}

impl<T: Clone> Deref for Effective<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.options
    }
}

impl<'d, T: Options> Effective<'d, T> {
    /// Options that are not inherited; `None`: they are absent.
    pub fn without_inheritance(own: &'d BoxedSetting<T>) -> Option<Effective<'d, T>> {
        let set = own.as_ref().filter(|own| !own.is_empty())?;
        Some(Effective { options: Cow::Borrowed(&set.value), own_span: Some(set.span), global_span: None })
    }
}

/// One group of `GlobalConfiguration`, and where it is.
type Group<'d, T> = (Option<GlobalGroup<'d, T>>, Option<Span>);

fn group<T: Options>(global: &Setting<T::Global>) -> Group<'_, T> {
    (GlobalGroup::new(global), global.as_ref().map(|global| global.span))
}

fn effective<'d, T: Options>(
    own: &'d BoxedSetting<T>,
    (group, global_span): &'d Group<'_, T>,
    key: Option<&str>,
) -> Option<Effective<'d, T>> {
    let options = merge(own, group.as_ref(), key)?;
    Some(Effective { options, own_span: own.as_ref().map(|own| own.span), global_span: *global_span })
}

macro_rules! cluster_options {
    ({} $(
        $setting:literal () => { $(#[doc = $doc:literal])* $field:ident: $options:ident $documents:tt };
    )*) => {
        /// The groups of `GlobalConfiguration`.
        pub struct ClusterGroups<'d> {
            $($field: Group<'d, $field::$options>,)*
        }

        impl<'d> ClusterGroups<'d> {
            /// Prepares the global groups once for all routes and clusters.
            pub fn new(global: &'d GlobalDocument) -> Self {
                ClusterGroups { $($field: group(&global.$field),)* }
            }
        }

        /// The options that apply to a route or to a named cluster.
        #[derive(Debug, Default)]
        pub struct ClusterOptions<'d> {
            $(pub $field: Option<Effective<'d, $field::$options>>,)*
        }

        impl<'d> ClusterOptions<'d> {
            /// The options of a route: its own, then those of the global groups that name its key or no key.
            pub fn of_route(route: &'d RouteDocument, groups: &'d ClusterGroups<'_>) -> Self {
                let key = route.key.as_ref().map(|key| key.as_str());
                ClusterOptions { $($field: effective(&route.$field, &groups.$field, key),)* }
            }

            /// The options of a cluster: its own, then those of the global groups that name no key.
            pub fn of_cluster(cluster: &'d ClusterDocument, groups: &'d ClusterGroups<'_>) -> Self {
                let mut options = ClusterOptions::default();
                $(if_carried! {
                    cluster $documents
                    options.$field = effective(&cluster.$field, &groups.$field, None);
                })*
                options
            }
        }

        /// Checks the groups of `GlobalConfiguration`; `keys` are those of all routes.
        pub fn check_global(global: &GlobalDocument, keys: &HashSet<&str>, diagnostics: &mut Diagnostics) {
            $(check_route_keys(&global.$field, keys, diagnostics);)*
        }

        /// The options that a dynamic route sets, on a route.
        pub fn copy_from_dynamic(from: &DynamicRouteDocument, to: &mut RouteDocument) {
            $(if_carried! { dynamic $documents to.$field = from.$field.clone(); })*
        }

        /// Visits the options of a route that clusters have too, and where they are set.
        pub fn set_on_route(route: &RouteDocument, mut visit: impl FnMut(&'static str, Option<Span>)) {
            $(if_carried! {
                cluster $documents
                visit($setting, route.$field.as_ref().map(|options| options.span));
            })*
        }
    };
}

with_cluster_options! { cluster_options {} }
