//! Internal services as targets (Envoy's `direct_response` and admin handler, with any tower service behind it).
//!
//! Entry point: [`call`], for a route whose target is [`crate::plan::Target::Internal`]; callers: `dispatch` only.
//! Bodies stream in both directions with back-pressure, server-sent events included; `Upgrade` is supported through the
//! extension [`OnUpgrade`]. The future of the service is dropped when the client closes its connection. Nothing here
//! outlives the exchange; the services themselves outlive plans.

mod request_body;
mod response_body;
#[cfg(test)]
mod tests;
mod upgrade;

pub use upgrade::{OnUpgrade, UpgradedStream};

use crate::{
    net::h1::hop_by_hop::{self, HopByHop, TunnelUpgrade},
    pipeline::{
        body::{Body, ClientBody},
        error::{ErrorCode, GatewayError, reason},
        exchange::Exchange,
        head::{Head, KnownHeader},
        internal::{InternalService, OriginalUrl, Request, Response as ServiceResponse},
        response::{Response, RouteResult},
        upgrade::{ConnectionOwner, Upgrade, UpgradePeer},
    },
};
use futures_util::FutureExt;
use http::{HeaderValue, Method, Uri, header};
use http_body::Body as _;
use request_body::{Upload, header_map};
use response_body::ResponseBody;
use smallvec::SmallVec;
use std::{
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    pin::pin,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};
use upgrade::PendingUpgrade;

/// A request extension: the client. If the route authenticates, its identity is the extension `Arc<Identity>`; a verified
/// client certificate of the connection is the extension `Arc<ClientCertificate>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's address as seen through trusted proxies.
    pub address: IpAddr,
    /// The remote address of the connection.
    pub peer: SocketAddr,
    /// Whether the client uses https, as seen through trusted proxies.
    pub is_tls: bool,
}

/// Calls the service with the request of the exchange; `timeout` limits the time to the head of the response.
pub async fn call(
    service: &InternalService,
    timeout: Duration,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
) -> RouteResult {
    let (upload, body) = request_body::channel(client.framing());
    let (pending, on_upgrade) = upgrade::pair();
    let mut request = to_request(exchange, body)?;
    let protocol = if hop.websocket { Some("websocket") } else { hop.tunnel.map(TunnelUpgrade::name) };
    let pending = protocol.map(|protocol| {
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(protocol));
        request.extensions_mut().insert(on_upgrade);
        pending
    });
    let started_at = Instant::now();
    let call = Call { upload, deadline: started_at + timeout };
    let called = call.run(service, request, client).await;
    let status = called.as_ref().map(|(response, _)| response.status().as_u16());
    exchange.record.end_attempt(started_at, status);
    let (response, upload) = called?;
    exchange.record.error_code = response.extensions().get::<ErrorCode>().copied();
    if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
        return switch_protocols(service, response, pending);
    }
    Ok(to_response(response, exchange.request.method() == b"HEAD", upload))
}

/// A call until the head of the response.
struct Call {
    upload: Upload,
    deadline: Instant,
}

impl Call {
    /// Awaits the response while the request body is sent and the client is connected.
    async fn run(
        mut self,
        service: &InternalService,
        request: Request,
        client: &mut dyn ClientBody,
    ) -> Result<(ServiceResponse, Upload), GatewayError> {
        let response = AssertUnwindSafe(async { service.call(request).await }).catch_unwind();
        let mut response = pin!(response);
        let response = poll_fn(|cx| {
            if let Poll::Ready(done) = response.as_mut().poll(cx) {
                return Poll::Ready(done.map_err(|_| panicked(service)));
            }
            if let Poll::Ready(Err(cause)) = self.upload.poll(cx, client.as_body()) {
                return Poll::Ready(Err(cause));
            }
            if client.poll_closed(cx).is_ready() {
                return Poll::Ready(Err(GatewayError::client_closed()));
            }
            client.poll_deadline(cx, self.deadline).map(|()| Err(timed_out(service)))
        })
        .await?;
        Ok((response, self.upload))
    }
}

fn panicked(service: &InternalService) -> GatewayError {
    let detail = format!("the internal service \"{}\" panicked", service.name());
    log::error!("{detail}");
    GatewayError::new(ErrorCode::GatewayInternal, detail)
}

fn timed_out(service: &InternalService) -> GatewayError {
    let detail = format!("the internal service \"{}\" did not respond in time", service.name());
    GatewayError::new(ErrorCode::BackendTimeout, detail)
}

/// The request that the service receives.
fn to_request(exchange: &Exchange, body: axum::body::Body) -> Result<Request, GatewayError> {
    let uri = Uri::try_from(exchange.request.target())
        .map_err(|_| GatewayError::malformed_request("the request target is not a valid URI"))?;
    let method = Method::from_bytes(exchange.request.method())
        .map_err(|_| GatewayError::malformed_request("the method is not a token"))?;
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    *request.headers_mut() = header_map(&exchange.request);
    request.extensions_mut().insert(ClientInfo {
        address: exchange.client.ip,
        peer: exchange.client.peer.address,
        is_tls: exchange.client.is_tls,
    });
    request.extensions_mut().insert(OriginalUrl::new(exchange));
    if let Some(certificate) = &exchange.client.certificate {
        request.extensions_mut().insert(certificate.clone());
    }
    if let Some(identity) = &exchange.client.user {
        request.extensions_mut().insert(identity.clone());
    }
    Ok(request)
}

fn to_head(response: &ServiceResponse) -> Head {
    let status = response.status();
    let phrase = status.canonical_reason().unwrap_or_else(|| reason(status.as_u16()));
    let mut head = Head::response(status.as_u16(), phrase.as_bytes());
    for (name, value) in response.headers() {
        head.append(name.as_str().as_bytes(), value.as_bytes());
    }
    // A service of this process sends no such list.
    let _ = hop_by_hop::strip(&mut head, usize::MAX);
    head
}

/// The response of the exchange; its body is still to be sent.
fn to_response(response: ServiceResponse, for_head: bool, upload: Upload) -> Response {
    let mut head = to_head(&response);
    if head.get(b"date").is_none() {
        head.append(b"Date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    }
    let body = response.into_body();
    let declared = head.get_known(KnownHeader::ContentLength).and_then(crate::base::bytes::decimal);
    let length = body.size_hint().exact().or(declared);
    let body = match for_head || matches!(head.status, 204 | 304) || length == Some(0) {
        true => Body::Empty,
        false => Body::Stream(Box::new(ResponseBody::new(body, length, upload))),
    };
    Response { head, body, ..Response::default() }
}

/// Connects the client connection to the stream that the service waits for.
fn switch_protocols(
    service: &InternalService,
    response: ServiceResponse,
    pending: Option<PendingUpgrade>,
) -> RouteResult {
    if let Some(owner) = response.extensions().get::<ConnectionOwner>().filter(|_| pending.is_some()) {
        let upgrade = Upgrade { peer: UpgradePeer::Owner(owner.clone()), guards: SmallVec::new() };
        let upgrade = Some(Box::new(upgrade));
        return Ok(Response { head: to_head(&response), upgrade, ..Response::default() });
    }
    let Some(backend) = pending.and_then(PendingUpgrade::accept) else {
        let detail = format!(
            "the internal service \"{}\" switched protocols without an upgrade request",
            service.name()
        );
        return Err(GatewayError::new(ErrorCode::GatewayInternal, detail));
    };
    let upgrade = Some(Box::new(Upgrade { peer: UpgradePeer::Backend(backend), guards: SmallVec::new() }));
    Ok(Response { head: to_head(&response), upgrade, ..Response::default() })
}
