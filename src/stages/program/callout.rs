//! The requests that programs send: pooled connections, bounded in time and size, to hosts that are allowed.

use super::{
    backend::{HostRule, ServiceCertificate},
    context::Context,
    entities::Shared,
    failure::Failure,
    target::ServiceUrl,
};
use crate::{
    backend::attempt,
    base::expr::HeldResponse,
    net::{buffered_client::BufferedClient, h1::hop_by_hop::HopByHop, tls::client::ClientTls},
    pipeline::{
        body::Body,
        collect::collect_response,
        error::{ErrorCode, GatewayError},
        exchange::{Exchange, Peer},
        head::{Head, KnownHeader},
    },
};
use bytes::Bytes;
use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Maximum number of one-way requests under way.
const MAX_ONE_WAY: usize = 1024;
static ONE_WAY: AtomicUsize = AtomicUsize::new(0);

/// A call-out in progress.
pub type PendingCall = Pin<Box<dyn Future<Output = Result<HeldResponse, Failure>> + Send>>;
/// A token that is fetched before the call.
pub type PendingToken = Pin<Box<dyn Future<Output = Result<Arc<str>, Failure>> + Send>>;

/// A call-out that is ready, and what happens to its response.
pub struct PreparedCall {
    pub call: PendingCall,
    pub variable: Option<Arc<str>>,
    pub ignores_errors: bool,
}

/// A request that a program sends.
pub struct CallOut {
    pub url: ServiceUrl,
    pub request: Head,
    pub body: Bytes,
    pub timeout: Duration,
    /// The statements set `Host`.
    pub keeps_host: bool,
    /// The client certificate of the connection.
    pub certificate: Option<Arc<ServiceCertificate>>,
    /// The bearer token of the call.
    pub token: Option<PendingToken>,
    peer: Peer,
    worker: usize,
    id: Vec<u8>,
}

impl CallOut {
    /// A GET request, or a copy of the request as it is now.
    pub fn new(context: &Context<'_>, url: ServiceUrl, is_copy: bool) -> CallOut {
        let (mut request, body) = match is_copy {
            true => (context.exchange.request.clone(), context.request_body().cloned().unwrap_or_default()),
            false => (Head::request(b"GET", b"/"), Bytes::new()),
        };
        let path = if url.base.is_empty() { "/" } else { url.base.as_str() };
        let target = if url.query.is_empty() { path.to_owned() } else { format!("{path}?{}", url.query) };
        request.rewrite_target(target.as_bytes());
        if is_copy {
            request.remove_known(KnownHeader::Host);
            request.remove_known(KnownHeader::ContentLength);
            context.remove_key(&mut request);
        } else if let Some(parent) = context.exchange.request.get(b"traceparent").map(<[u8]>::to_vec) {
            request.append(b"traceparent", &parent);
        }
        CallOut {
            url,
            request,
            body,
            timeout: Duration::from_secs(60),
            keeps_host: false,
            certificate: None,
            token: None,
            peer: context.exchange.client.peer,
            worker: context.exchange.worker,
            id: context.exchange.record.id.clone(),
        }
    }

    /// Starts the call.
    pub fn start(self, context: &Context<'_>) -> PendingCall {
        let shared = context.shared.clone();
        let timeout = self.timeout;
        Box::pin(async move {
            match tokio::time::timeout(timeout, send(self, shared)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::callout("Timeout", "the call-out timed out")),
            }
        })
    }
}

async fn send(mut call: CallOut, shared: Arc<Shared>) -> Result<HeldResponse, Failure> {
    check_target(&call.url, &shared).await?;
    if let Some(token) = call.token.take() {
        let token = token.await?;
        call.request.set(b"Authorization", format!("Bearer {token}").as_bytes());
    }
    let client_certificate = call.certificate.as_ref().map(|certificate| certificate.pair.clone());
    let tls = ClientTls { client_certificate, ..ClientTls::default() };
    let cluster = shared.services.cluster(&call.url, &tls);
    let mut terms = shared.services.terms.clone();
    terms.timeout = call.timeout;
    terms.preserve_host = call.keeps_host;
    let mut exchange = Box::new(Exchange::new(call.peer, call.worker, Instant::now()));
    exchange.request = call.request;
    exchange.record.id = call.id;
    if !call.keeps_host {
        exchange.request.set(b"Host", call.url.authority().as_bytes());
    }
    let has_body = !matches!(exchange.request.method(), b"GET" | b"HEAD") || !call.body.is_empty();
    let mut client = BufferedClient::new(if has_body { call.body } else { Bytes::new() }, None);
    let outcome = attempt::run(&cluster, &terms, HopByHop::default(), &mut exchange, &mut client).await;
    let response = outcome.map_err(|error| failure(&error))?;
    let mut held = HeldResponse {
        status: response.head.status,
        reason: String::from_utf8_lossy(response.head.reason()).into_owned(),
        headers: response
            .head
            .fields()
            .map(|(_, name, value)| {
                (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned())
            })
            .collect(),
        body: Bytes::new(),
    };
    if let Body::Stream(body) = response.body {
        held.body = hold(body, &mut client, shared.max_body_bytes, call.timeout).await?;
    }
    Ok(held)
}

async fn hold(
    body: Box<dyn crate::pipeline::body::BodyRead>,
    client: &mut BufferedClient,
    max: usize,
    timeout: Duration,
) -> Result<Bytes, Failure> {
    let mut held = 0;
    let reserve = |n: usize| {
        held += n;
        match held > max {
            true => Err(GatewayError::new(
                ErrorCode::BackendTooLarge,
                "the response of the call-out is too large",
            )),
            false => Ok(()),
        }
    };
    collect_response(body, client, timeout, None, reserve).await.map_err(|error| failure(&error))
}

fn failure(error: &GatewayError) -> Failure {
    let reason = match error.code {
        ErrorCode::BackendTimeout | ErrorCode::BackendConnectTimeout => "Timeout",
        _ => "BackendConnectionFailure",
    };
    Failure::callout(reason, format!("{}: {}", error.code.name(), error.detail))
}

/// Rejects hosts that are not allowed, by name and by address.
async fn check_target(url: &ServiceUrl, shared: &Shared) -> Result<(), Failure> {
    let services = &shared.services;
    let host = url.host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => resolve(&host, url.port).await,
    };
    let matches = |rule: &HostRule| match rule {
        HostRule::Host(_) => rule.matches_host(&host),
        HostRule::Network(network) => {
            addresses.iter().any(|address| network.contains(address.to_canonical()))
        }
    };
    let is_denied = services.deny.iter().any(matches);
    let is_allowed = services.allow.is_empty() || services.allow.iter().any(matches);
    if is_denied || !is_allowed {
        return Err(Failure::callout("BackendConnectionFailure", "the host of the call-out is not allowed"));
    }
    Ok(())
}

async fn resolve(host: &str, port: u16) -> Vec<IpAddr> {
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.map(|address| address.ip()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Sends a request without waiting for the response.
pub fn send_in_background(context: &Context<'_>, call: CallOut) {
    if ONE_WAY.fetch_add(1, Ordering::AcqRel) >= MAX_ONE_WAY {
        ONE_WAY.fetch_sub(1, Ordering::AcqRel);
        log::warn!("a one-way request was dropped: {MAX_ONE_WAY} are under way");
        return;
    }
    let pending = call.start(context);
    let Some(runtime) = &context.exchange.runtime else {
        ONE_WAY.fetch_sub(1, Ordering::AcqRel);
        return;
    };
    runtime.spawn(Box::pin(async move {
        if let Err(failure) = pending.await {
            log::debug!("one-way request: {}", failure.log);
        }
        ONE_WAY.fetch_sub(1, Ordering::AcqRel);
    }));
}
