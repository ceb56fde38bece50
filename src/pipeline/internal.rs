//! Internal services: targets of routes that run inside this process, such as the administration pages. Any tower
//! service works, usually an axum router. The server converts an exchange into a request and the response back into the
//! exchange.

use super::{exchange::Exchange, head::KnownHeader};
use axum::body::Body;
use std::{convert::Infallible, fmt, future::Future, sync::Arc};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

/// What an internal service receives; its body is the client's, as it arrives.
pub type Request = http::Request<Body>;
/// What an internal service returns; its body is sent to the client as it is produced.
pub type Response = http::Response<Body>;

/// A request extension: what the client requested, before the route changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalUrl {
    /// The undecoded path.
    pub path: Box<str>,
    /// `http://host:port`, as the client addressed the gateway.
    pub origin: Box<str>,
}

impl OriginalUrl {
    /// What the client of an exchange requested.
    pub fn new(exchange: &Exchange) -> OriginalUrl {
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let scheme = if exchange.client.is_tls { "https" } else { "http" };
        let host = text(exchange.request.get_known(KnownHeader::Host).unwrap_or_default());
        OriginalUrl {
            path: text(exchange.request.original_path()).into(),
            origin: format!("{scheme}://{host}").into(),
        }
    }
}

/// A service and the name under which routes find it.
///
/// ```
/// use axum::{Router, routing::get};
/// use margay::pipeline::internal::InternalService;
///
/// let pages = Router::new().route("/status", get(|| async { "up" }));
/// assert_eq!(InternalService::new("pages", pages).name(), "pages");
/// ```
#[derive(Clone)]
pub struct InternalService {
    name: Arc<str>,
    service: BoxCloneSyncService<Request, Response, Infallible>,
}

impl InternalService {
    /// `name` is what routes write in `DownstreamService`. The service is cloned for each request.
    pub fn new<S>(name: &str, service: S) -> InternalService
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        InternalService { name: name.into(), service: BoxCloneSyncService::new(service) }
    }

    /// The name in `DownstreamService`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same service, whose requests have this extension.
    #[must_use]
    pub fn with_extension<T: Clone + Send + Sync + 'static>(&self, extension: T) -> InternalService {
        let extended = self.service.clone().map_request(move |mut request: Request| {
            request.extensions_mut().insert(extension.clone());
            request
        });
        InternalService { name: self.name.clone(), service: BoxCloneSyncService::new(extended) }
    }

    /// Calls the service. Dropping the future cancels the call.
    pub fn call(&self, request: Request) -> impl Future<Output = Response> + Send + use<> {
        let called = self.service.clone().oneshot(request);
        async move {
            match called.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    }
}

impl fmt::Debug for InternalService {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "InternalService({})", self.name)
    }
}

/// The internal services of a process, by name.
#[derive(Clone, Debug, Default)]
pub struct ServiceRegistry {
    services: Vec<InternalService>,
}

impl ServiceRegistry {
    /// Adds a service, replacing one of the same name.
    pub fn add(&mut self, service: InternalService) {
        self.services.retain(|known| known.name != service.name);
        self.services.push(service);
    }

    /// The service of that name; names are case-sensitive.
    pub fn get(&self, name: &str) -> Option<&InternalService> {
        self.services.iter().find(|service| service.name() == name)
    }

    /// All names, in the order in which the services were added.
    pub fn names(&self) -> Vec<&str> {
        self.services.iter().map(InternalService::name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, routing::get};

    #[tokio::test]
    async fn a_service_is_found_by_name_and_the_last_registration_wins() {
        let mut registry = ServiceRegistry::default();
        for text in ["first", "second"] {
            registry.add(InternalService::new(
                "pages",
                Router::new().route("/", get(move || async move { text })),
            ));
        }
        assert_eq!(registry.names(), ["pages"]);
        assert!(registry.get("Pages").is_none());
        let response = registry.get("pages").unwrap().call(Request::new(Body::empty())).await;
        let body = axum::body::to_bytes(response.into_body(), 10).await.unwrap();
        assert_eq!(&body[..], b"second");
    }
}
