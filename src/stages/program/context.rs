//! The state of a program for one exchange.

use super::{
    backend::{Backend, ServiceCertificate},
    entities::{ApiOperation, Product, Shared, Subscription},
    failure::LastError,
    section::Section,
    target::{RequestUrl, Target},
    trace::Trace,
};
use crate::{
    backend::attempt::Http2,
    base::expr::{Usage, Value},
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::ClientBody,
        exchange::Exchange,
        guard::ResponseGuard,
        head::Head,
        response::{Response, RouteResult},
    },
};
use bytes::Bytes;
use std::{
    any::Any,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The target of a route that is not a cluster of the program itself.
pub trait RouteTarget: Send + Sync {
    /// Sends the exchange to the target of the route.
    fn call<'f>(
        &'f self,
        exchange: &'f mut Exchange,
        hop: HopByHop,
        client: &'f mut dyn ClientBody,
    ) -> Pin<Box<dyn Future<Output = RouteResult> + Send + 'f>>;
}

/// What the subscription check found.
#[derive(Clone, Debug, Default)]
pub struct CallerContext {
    pub subscription: Option<Arc<Subscription>>,
    /// The key of the request.
    pub key: Option<Arc<str>>,
    /// The product context, in lower case.
    pub product: Option<String>,
}

/// What is kept of a `forward-request`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardOptions {
    pub timeout: Option<Duration>,
    pub follow_redirects: bool,
    /// `None`: as the backend.
    pub http2: Option<Http2>,
}

/// A change that waits for the response.
pub trait AfterResponse: Send + Sync + std::fmt::Debug {
    /// What it reads.
    fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Runs before `outbound` ends.
    fn finish(&self, context: &mut Context<'_>);
}

/// The state of a program for one exchange.
pub struct Context<'a> {
    pub exchange: &'a mut Exchange,
    pub client: &'a mut dyn ClientBody,
    pub hop: HopByHop,
    /// `None`: on a route.
    pub operation: Option<&'a ApiOperation>,
    pub route: Option<&'a dyn RouteTarget>,
    /// The names of the path values of a route.
    pub route_names: &'a [Box<str>],
    pub shared: Arc<Shared>,
    pub caller: CallerContext,
    pub product: Option<Arc<Product>>,
    pub section: Section,
    pub variables: Vec<(Arc<str>, Value)>,
    pub response: Option<Response>,
    pub last_error: Option<LastError>,
    /// Where the request goes.
    pub target: Target,
    /// The backend in the place of the operation's own.
    pub backend: Option<Arc<Backend>>,
    /// The client certificate of connections to the service.
    pub certificate: Option<Arc<ServiceCertificate>>,
    /// A URL replaces the backend.
    pub has_own_service: bool,
    /// The URL as the client sent it.
    pub original: RequestUrl,
    /// The request body is the gateway's own.
    pub has_own_body: bool,
    /// A later section reads the body of the request.
    pub keeps_request_body: bool,
    /// A response of the cache: the backend is not called.
    pub is_cache_hit: bool,
    pub after_response: Vec<Arc<dyn AfterResponse>>,
    /// Fields of the response that limits add.
    pub response_fields: Vec<(String, String)>,
    /// What statements keep until the response has ended.
    pub guards: Vec<ResponseGuard>,
    /// What one statement keeps for another.
    pub notes: Vec<(&'static str, Box<dyn Any + Send + Sync>)>,
    pub now: SystemTime,
    /// The trace that the client has asked for.
    pub trace: Option<Trace>,
}

impl Context<'_> {
    /// Removes the subscription key from a request that leaves the gateway. A value that a statement has set stays.
    pub fn remove_key(&self, request: &mut Head) {
        let Some(api) = self.operation.map(|target| &target.api).filter(|api| !api.forwards_key) else {
            return;
        };
        let name = api.key_header.as_bytes();
        let is_key = |value: &[u8]| {
            let key = self.caller.key.as_deref().unwrap_or_default();
            value.is_empty() || value.trim_ascii() == key.as_bytes()
        };
        if request.get(name).is_some_and(is_key) {
            request.remove(name);
        }
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.iter().find(|(known, _)| &**known == name).map(|(_, value)| value)
    }

    /// Sets a variable.
    pub fn set_variable(&mut self, name: &Arc<str>, value: Value) {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name.clone(), value)),
        }
    }

    /// A path value as the client spelled it.
    pub fn raw_parameter(&self, name: &str) -> Option<String> {
        let params = &self.exchange.routing.path_params;
        let value = params
            .get_override(name)
            .or_else(|| params.get_by_name(name, self.route_names, self.exchange.request.routed_target()))?;
        Some(String::from_utf8_lossy(value.bytes).into_owned())
    }

    /// What another statement of the program keeps.
    pub fn note<T: 'static>(&self, name: &str) -> Option<&T> {
        self.notes.iter().rev().find(|(known, _)| *known == name)?.1.downcast_ref()
    }

    /// The request body, if it was collected.
    pub fn request_body(&self) -> Option<&Bytes> {
        self.exchange.body.collected.as_ref()
    }

    /// Replaces the body of the request.
    pub fn set_request_body(&mut self, body: Bytes) {
        self.exchange.body.collected = Some(body);
        self.has_own_body = true;
        for name in ["Content-MD5", "Digest", "Content-Digest", "Content-Encoding"] {
            self.exchange.request.remove(name.as_bytes());
        }
    }
}
