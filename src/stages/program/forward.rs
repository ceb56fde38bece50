//! The call of the service.

use super::{
    backend::{Backend, Breaker, Credentials, Service},
    body::collect_request,
    context::{Context, ForwardOptions},
    failure::Failure,
    target::ServiceUrl,
};
use crate::{
    backend::{
        Cluster,
        attempt::{self, AttemptConfig},
    },
    net::tls::client::ClientTls,
    pipeline::{
        body::{BodyRead, Chunk, ClientBody, Framing},
        error::GatewayError,
        head::Head,
        replay::ReplayBody,
        response::{Response, RouteResult},
    },
};
use bytes::Bytes;
use std::{
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant, SystemTime},
};

/// Maximum number of redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// The longest time that a service keeps its circuit open.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Sends the request to the service; `context.response` is its response.
pub async fn forward(context: &mut Context<'_>, options: ForwardOptions) -> Result<(), Failure> {
    if context.keeps_request_body && context.exchange.body.collected.is_none() {
        collect_request(context).await?;
    }
    let mut redirects = 0;
    loop {
        let response = forward_once(context, options).await?;
        let location = redirect(&response).filter(|_| options.follow_redirects && redirects < MAX_REDIRECTS);
        let followed = location.and_then(|location| next_url(context, &location));
        context.response = Some(response);
        let Some(url) = followed else { return Ok(()) };
        redirects += 1;
        repeat_as(context, &url);
        context.target.path.clone_from(&url.base);
        context.target.query.clone_from(&url.query);
        context.target.url = Some(Arc::new(ServiceUrl { base: String::new(), query: String::new(), ..url }));
    }
}

/// Prepares the request for its new place, as browsers do (RFC 9110 15.4).
fn repeat_as(context: &mut Context<'_>, url: &ServiceUrl) {
    let status = context.response.as_ref().map_or(0, |response| response.head.status);
    let method = context.exchange.request.method();
    let becomes_get = status == 303 && method != b"HEAD" || matches!(status, 301 | 302) && method == b"POST";
    if becomes_get {
        context.exchange.request.set_method(b"GET");
        context.exchange.request.remove(b"Content-Type");
        context.set_request_body(Bytes::new());
    }
    let is_same = context.target.url.as_ref().is_some_and(|current| current.origin() == url.origin());
    if !is_same {
        context.exchange.request.remove(b"Authorization");
        context.has_own_service = true;
    }
}

/// The location of a redirect that repeats the request.
fn redirect(response: &Response) -> Option<String> {
    matches!(response.head.status, 301 | 302 | 303 | 307 | 308)
        .then(|| response.head.get(b"Location").map(|value| String::from_utf8_lossy(value).into_owned()))?
}

/// The URL of a redirect to the same host, or to one that call-outs are allowed to call.
fn next_url(context: &Context<'_>, location: &str) -> Option<ServiceUrl> {
    let current = context.target.url.as_ref()?;
    let path = context.target.full_path();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let origin = format!("{}://{}", current.scheme(), current.authority());
    let absolute = match location {
        _ if location.contains("://") => location.to_owned(),
        _ if location.starts_with("//") => format!("{}:{location}", current.scheme()),
        _ if location.starts_with('/') => format!("{origin}{location}"),
        _ if location.starts_with('?') => format!("{origin}{path}{location}"),
        _ => format!("{origin}{folder}/{location}"),
    };
    let url = ServiceUrl::parse(&absolute)?;
    let is_same = url.host.eq_ignore_ascii_case(&current.host) && url.port == current.port;
    let services = &context.shared.services;
    let is_allowed =
        || services.allow.iter().any(|rule| rule.matches_host(&url.host)) && !services.denies(&url.host);
    (is_same || is_allowed()).then_some(url)
}

async fn forward_once(context: &mut Context<'_>, options: ForwardOptions) -> Result<Response, Failure> {
    let now = Instant::now();
    let own = context.operation.map(|target| target.backend.clone());
    let backend = if context.has_own_service { None } else { context.backend.clone().or(own) };
    let (cluster, terms, service, cookie) = match &backend {
        None if context.has_own_service => {
            let (cluster, terms) = own_service(context)?;
            (cluster, terms, None, None)
        }
        None => return forward_route(context).await,
        Some(backend) => {
            let (service, cookie) = select(context, backend, now)?;
            (service.cluster.clone(), service.terms.clone(), Some(service), cookie)
        }
    };
    if let Some(service) = service {
        service.admit(now)?;
        if context.target.url.is_none()
            || matches!(&backend, Some(backend) if matches!(**backend, Backend::Pool(_)))
        {
            context.target.url.clone_from(&service.url);
        }
        apply_credentials(context, &service.credentials);
    }
    let cluster = with_certificate(context, cluster)?;
    let terms = terms_with(terms, options, context);
    let outcome = call(context, &cluster, &terms).await;
    if let Some(breaker) = service.and_then(|service| service.breaker.as_ref()) {
        record_outcome(breaker, &outcome);
    }
    let mut response = outcome.map_err(forward_failure)?;
    if let (Some(cookie), Some(Backend::Pool(pool))) = (cookie, backend.as_deref()) {
        let name = pool.affinity_cookie.as_deref().unwrap_or_default();
        response.head.append(b"Set-Cookie", format!("{name}={cookie}; Path=/; HttpOnly").as_bytes());
    }
    Ok(response)
}

/// The service that an expression names.
fn own_service(context: &Context<'_>) -> Result<(Arc<Cluster>, AttemptConfig), Failure> {
    let url = context.target.url.clone().ok_or_else(|| Failure::statement("there is no service"))?;
    let terms = match context.operation.map(|target| &*target.backend) {
        Some(Backend::Single(service)) => service.terms.clone(),
        _ => context.shared.services.terms.clone(),
    };
    Ok((context.shared.services.cluster(&url, &ClientTls::default()), terms))
}

/// The same service, with connections that present the client certificate of the program.
fn with_certificate(context: &Context<'_>, cluster: Arc<Cluster>) -> Result<Arc<Cluster>, Failure> {
    let Some(certificate) = &context.certificate else { return Ok(cluster) };
    let url = context.target.url.as_ref();
    let url = url.ok_or_else(|| Failure::statement("authentication-certificate: the service has no URL"))?;
    let tls = ClientTls { client_certificate: Some(certificate.pair.clone()), ..cluster.client_tls() };
    Ok(context.shared.services.cluster(url, &tls))
}

/// Counts the outcome of a call for a circuit breaker.
fn record_outcome(breaker: &Breaker, outcome: &Result<Response, GatewayError>) {
    let status = outcome.as_ref().ok().map(|response| response.head.status);
    let reason = outcome.as_ref().err().map(|error| Failure::from_gateway(error.clone()).reason);
    let retry_after = outcome.as_ref().ok().and_then(|response| retry_after(&response.head));
    let failed = breaker.is_failure(status, reason.as_deref().unwrap_or_default());
    breaker.record(failed, retry_after, Instant::now());
}

/// The target of a route with documents.
async fn forward_route(context: &mut Context<'_>) -> Result<Response, Failure> {
    let Some(route) = context.route else { return Err(Failure::statement("there is no service")) };
    let target = context.target.text();
    context.exchange.request.rewrite_target(target.as_bytes());
    let outcome = match context.exchange.body.collected.clone() {
        None => route.call(context.exchange, context.hop, context.client).await,
        Some(body) => {
            let mut framed =
                FramedClient { framing: framing(body.len(), context.client), client: context.client };
            let mut replay = ReplayBody::from_buffered(body, &mut framed);
            let outcome = route.call(context.exchange, context.hop, &mut replay).await;
            outcome.map(|response| Response { body: replay.with_remaining_upload(response.body), ..response })
        }
    };
    outcome.map_err(forward_failure)
}

fn forward_failure(error: GatewayError) -> Failure {
    Failure { source: Some("forward-request"), ..Failure::from_gateway(error) }
}

/// The service of a backend: its own, or a member of the pool.
fn select<'b>(
    context: &Context<'_>,
    backend: &'b Backend,
    now: Instant,
) -> Result<(&'b Service, Option<String>), Failure> {
    match backend {
        Backend::Single(service) => Ok((service, None)),
        Backend::Pool(pool) => {
            let cookie =
                pool.affinity_cookie.as_ref().and_then(|name| cookie_value(&context.exchange.request, name));
            pool.select(cookie.as_deref(), now)
                .map_err(|failure| Failure { source: Some("forward-request"), ..failure })
        }
    }
}

fn cookie_value(head: &Head, name: &str) -> Option<Vec<u8>> {
    head.get_all(b"Cookie").flat_map(|line| line.split(|b| *b == b';')).find_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|b| *b == b'=')?;
        (&pair[..at] == name.as_bytes()).then(|| pair[at + 1..].to_vec())
    })
}

fn apply_credentials(context: &mut Context<'_>, credentials: &Credentials) {
    for (name, value) in &credentials.headers {
        context.exchange.request.set(name.as_bytes(), value.as_bytes());
    }
    if let Some(authorization) = &credentials.authorization {
        context.exchange.request.set(b"Authorization", authorization.as_bytes());
    }
    for (name, value) in &credentials.query {
        let values = [Arc::from(value.as_str())];
        let action = super::message::ExistsAction::Override;
        context.target.query =
            super::message::set_query_parameter(&context.target.query, name, action, &values);
    }
}

fn terms_with(mut terms: AttemptConfig, options: ForwardOptions, context: &Context<'_>) -> AttemptConfig {
    if let Some(timeout) = options.timeout {
        terms.timeout = timeout;
        terms.connect_timeout = terms.connect_timeout.min(timeout);
    }
    terms.http2 = options.http2.unwrap_or(terms.http2);
    terms.preserve_host |= context.note::<()>("own-host").is_some();
    terms
}

async fn call(context: &mut Context<'_>, cluster: &Cluster, terms: &AttemptConfig) -> RouteResult {
    let target = context.target.text();
    context.exchange.request.rewrite_target(target.as_bytes());
    // The statement may run again, with other headers of the gateway.
    let head = context.exchange.request.clone();
    let mut sent = std::mem::take(&mut context.exchange.request);
    context.remove_key(&mut sent);
    context.exchange.request = sent;
    let outcome = match context.exchange.body.collected.clone() {
        None => {
            context.client.limit_body(context.exchange.body.limit);
            attempt::run(cluster, terms, context.hop, context.exchange, context.client).await
        }
        Some(body) => {
            let mut framed =
                FramedClient { framing: framing(body.len(), context.client), client: context.client };
            let mut replay = ReplayBody::from_buffered(body, &mut framed);
            let outcome = attempt::run(cluster, terms, context.hop, context.exchange, &mut replay).await;
            outcome.map(|response| Response { body: replay.with_remaining_upload(response.body), ..response })
        }
    };
    context.exchange.request = head;
    outcome
}

/// The framing of a body that is held: none stays none.
fn framing(length: usize, client: &dyn ClientBody) -> Framing {
    match (length, client.framing()) {
        (0, Framing::None) => Framing::None,
        (length, _) => Framing::Length(length as u64),
    }
}

/// `Retry-After` in seconds or as a date.
pub fn retry_after(head: &Head) -> Option<Duration> {
    let text = String::from_utf8_lossy(head.get(b"Retry-After")?).trim().to_owned();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(&text).ok()?.duration_since(SystemTime::now()).ok()?,
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// A client whose body was collected: the length is that of the held body.
struct FramedClient<'c> {
    framing: Framing,
    client: &'c mut dyn ClientBody,
}

impl BodyRead for FramedClient<'_> {
    fn poll_fill(&mut self, cx: &mut TaskContext) -> Poll<Result<Chunk<'_>, GatewayError>> {
        self.client.poll_fill(cx)
    }

    fn consume(&mut self, n: usize) {
        self.client.consume(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        None
    }

    fn framing(&self) -> Framing {
        self.framing
    }
}

impl ClientBody for FramedClient<'_> {
    fn poll_closed(&mut self, cx: &mut TaskContext) -> Poll<()> {
        self.client.poll_closed(cx)
    }

    fn poll_deadline(&mut self, cx: &mut TaskContext, at: Instant) -> Poll<()> {
        self.client.poll_deadline(cx, at)
    }

    fn send_informational(&mut self, head: &Head, cx: &mut TaskContext) {
        self.client.send_informational(head, cx);
    }

    fn bytes_received(&self) -> u64 {
        self.client.bytes_received()
    }

    fn limit_body(&mut self, _max_bytes: u64) {}

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}
