//! Why an exchange failed: whose fault, on which leg, and under which name it is known everywhere.

use std::borrow::Cow;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Client,
    Backend,
    Gateway,
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $fault:ident, $status:literal, $ocelot:literal, $title:literal;)*) => {
        /// The vocabulary of failures. A name is stable: it stands in problems, in the access log and in metrics.
        ///
        /// ```
        /// use margay::pipeline::error::{ErrorCode, Fault};
        ///
        /// let code = ErrorCode::BackendTimeout;
        /// assert_eq!((code.name(), code.fault(), code.status(false)), ("backend.timeout", Fault::Backend, 504));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name),* }

        impl ErrorCode {
            /// Every failure there is.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name),*];

            /// The stable name, `leg.what`.
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => $text),* }
            }

            /// Whose fault it is.
            pub fn fault(self) -> Fault {
                match self { $(ErrorCode::$name => Fault::$fault),* }
            }

            /// The status that the client gets; the second table is Ocelot's (docs/ocelot-behavior.md, section 9).
            pub fn status(self, ocelot: bool) -> u16 {
                match (self, ocelot) { $((ErrorCode::$name, false) => $status, (ErrorCode::$name, true) => $ocelot),* }
            }

            /// Whether the request itself is broken: nothing that follows on its connection can be trusted.
            pub fn breaks_connection(self) -> bool {
                matches!(self, ErrorCode::RequestMalformed | ErrorCode::RequestBody | ErrorCode::RequestTimeout | ErrorCode::RequestCoding)
            }

            /// One short sentence for people.
            pub fn title(self) -> &'static str {
                match self { $(ErrorCode::$name => $title),* }
            }
        }
    };
}

error_codes! {
    // name = stable name, whose fault, our status, Ocelot's status, title;
    RequestMalformed = "request.malformed", Client, 400, 400, "Malformed request";
    RequestVersion = "request.version", Client, 505, 505, "HTTP version not supported";
    RequestMethod = "request.method", Client, 501, 501, "Method not supported";
    RequestCoding = "request.coding", Client, 501, 501, "Transfer coding not supported";
    /// WebSocket, where only answers are to be had.
    RequestUpgrade = "request.upgrade", Client, 501, 501, "Upgrade not supported";
    RequestLength = "request.length", Client, 411, 411, "Length required";
    RequestLine = "request.line", Client, 414, 414, "Request line too long";
    RequestHeaders = "request.headers", Client, 431, 431, "Request header fields too large";
    RequestTimeout = "request.timeout", Client, 408, 408, "Request not received in time";
    /// The connection was made for another host, with another certificate.
    RequestMisdirected = "request.misdirected", Client, 421, 421, "Misdirected request";
    RequestBody = "request.body", Client, 413, 413, "Request body too large";
    /// Frames of HTTP/2 that break its rules; the connection is ended.
    RequestFrame = "request.frame", Client, 400, 400, "Malformed frame";
    /// Frames of HTTP/2 that carry nothing, faster than any use of them; the connection is ended.
    RequestFrameFlood = "request.frame_flood", Client, 429, 429, "Too many frames";
    /// On a listener with the PROXY protocol: no such header, or a malformed one. The connection is closed.
    ProxyHeader = "proxy.header", Client, 400, 400, "Missing or malformed PROXY header";
    /// The header was not complete in time.
    ProxyTimeout = "proxy.timeout", Client, 408, 408, "PROXY header not received in time";
    /// Somebody came who is none of the proxies that may.
    ProxyUntrusted = "proxy.untrusted", Client, 403, 403, "Peer is not a trusted proxy";
    /// The path names nothing that we route.
    RouteNotFound = "route.not_found", Client, 404, 404, "No matching route";
    /// What Ocelot answers for configuration that it starts with and cannot serve.
    RouteMisconfigured = "route.misconfigured", Gateway, 500, 500, "Route misconfigured";
    RouteUnsupported = "route.unsupported", Gateway, 500, 404, "Route not supported";
    /// The client's address is on a list of those kept out, or not on the list of those let in.
    AccessIpDenied = "access.ip_denied", Client, 403, 403, "Client address denied";
    /// A web page of an origin that may not call asks whether it may.
    CorsOriginDenied = "cors.origin_denied", Client, 403, 403, "Origin not allowed";
    RateLimitExceeded = "rate_limit.exceeded", Client, 429, 429, "Too many requests";
    /// The header by which clients are told apart is missing.
    RateLimitClientIdMissing = "rate_limit.client_id_missing", Client, 503, 503, "Client ID header missing";
    /// The client has as many WebSocket connections open as it may.
    LimitWebsockets = "limit.websockets", Client, 503, 503, "Too many WebSocket connections from this client";
    LimitConcurrency = "limit.concurrency", Gateway, 503, 503, "Too many concurrent requests";
    /// A place in the queue, and not served within the time for it.
    LimitQueueTimeout = "limit.queue_timeout", Gateway, 503, 503, "Timed out in the queue";
    /// The caller has none of the scopes that the route asks for.
    AccessScope = "access.scope", Client, 403, 403, "Scope missing";
    /// A claim is missing, or has another value than the one that the route asks for.
    AccessClaim = "access.claim", Client, 403, 403, "Claim missing or different";
    /// The condition of the route does not hold, or cannot be decided.
    AccessCondition = "access.condition", Client, 403, 403, "Condition not met";
    /// The request carries nothing that a scheme of the route reads.
    IdentityMissing = "identity.missing", Client, 401, 401, "No credentials";
    IdentityMalformed = "identity.malformed", Client, 401, 401, "Malformed credentials";
    IdentityAlgorithm = "identity.algorithm", Client, 401, 401, "Algorithm not allowed";
    IdentityCritical = "identity.critical", Client, 401, 401, "Unsupported critical header parameter";
    IdentityType = "identity.type", Client, 401, 401, "Wrong token type";
    IdentityKey = "identity.key", Client, 401, 401, "Unknown signing key";
    IdentitySignature = "identity.signature", Client, 401, 401, "Invalid signature";
    IdentityExpired = "identity.expired", Client, 401, 401, "Token expired";
    IdentityNotYetValid = "identity.not_yet_valid", Client, 401, 401, "Token not yet valid";
    IdentityIssuer = "identity.issuer", Client, 401, 401, "Wrong token issuer";
    IdentityAudience = "identity.audience", Client, 401, 401, "Wrong token audience";
    /// No such API key, or a wrong name or password.
    IdentityInvalidCredentials = "identity.invalid_credentials", Client, 401, 401, "Invalid credentials";
    /// The keys of an issuer cannot be had, so nothing can be said about its tokens.
    IdentityProviderUnavailable = "identity.provider_unavailable", Gateway, 503, 401, "Identity provider unavailable";
    IdentityBusy = "identity.busy", Gateway, 503, 401, "Too many pending password checks";
    /// The client wants nothing but what is stored.
    CacheOnlyIfCached = "cache.only_if_cached", Client, 504, 504, "Not in the cache";
    ClientClosed = "client.closed", Client, 499, 499, "Client closed the connection";
    ClientConnectionLimit = "client.connection_limit", Client, 503, 503, "Too many connections from this client";
    GatewayConnectionLimit = "gateway.connection_limit", Gateway, 503, 503, "Too many connections";
    BackendNoEndpoint = "backend.no_endpoint", Backend, 503, 404, "No available endpoint";
    BackendDns = "backend.dns", Backend, 502, 502, "DNS resolution failed";
    BackendConnect = "backend.connect", Backend, 502, 502, "Backend not reachable";
    BackendConnectTimeout = "backend.connect_timeout", Backend, 504, 503, "Connection to the backend timed out";
    /// The backend's certificate is not believed, or is that of another host.
    BackendCertificate = "backend.certificate", Backend, 502, 502, "Invalid backend certificate";
    BackendTls = "backend.tls", Backend, 502, 502, "TLS handshake with the backend failed";
    BackendSend = "backend.send", Backend, 502, 502, "Backend closed the connection during the request";
    BackendReset = "backend.reset", Backend, 502, 502, "Backend closed the connection";
    BackendTimeout = "backend.timeout", Backend, 504, 503, "Backend did not respond in time";
    /// Nobody is asked for a while, because too much failed.
    BackendCircuitOpen = "backend.circuit_open", Backend, 503, 503, "Circuit breaker open";
    /// All connections are in use, and nobody gave one back in time.
    BackendConnectionLimit = "backend.connection_limit", Gateway, 503, 503, "All connections to the backend are in use";
    BackendMalformed = "backend.malformed", Backend, 502, 502, "Malformed response from the backend";
    BackendUnexpectedUpgrade = "backend.unexpected_upgrade", Backend, 502, 502, "Unexpected upgrade by the backend";
    /// The head was relayed; the rest never came.
    BackendTruncated = "backend.truncated", Backend, 502, 502, "Response from the backend truncated";
    /// A part of an aggregate answered with something that cannot stand in an answer.
    AggregatePart = "aggregate.part", Backend, 502, 500, "Part of the aggregate failed";
    AggregateSize = "aggregate.size", Backend, 502, 502, "Aggregate response too large";
    AggregateTemplate = "aggregate.template", Gateway, 500, 500, "Aggregate template failed";
    /// The client takes none of the forms that there are.
    RequestNotAcceptable = "request.not_acceptable", Client, 406, 406, "Not acceptable";
    GatewayDraining = "gateway.draining", Gateway, 503, 503, "Gateway is shutting down";
    GatewayInternal = "gateway.internal", Gateway, 500, 500, "Internal error";
}

/// One failure.
///
/// ```
/// use margay::pipeline::error::{ErrorCode, GatewayError};
///
/// let error = GatewayError::new(ErrorCode::RateLimitExceeded, "10 requests per second are allowed")
///     .with_details(|details| details.headers.push(("Retry-After".into(), "1".into())));
/// assert_eq!(error.status(false), 429);
/// ```
#[derive(Clone, Debug)]
pub struct GatewayError {
    pub why: ErrorCode,
    /// What a person wants to know about this one; never a secret.
    pub detail: Cow<'static, str>,
    /// What this one says beyond its kind.
    pub extra: Option<Box<ErrorDetails>>,
}

/// What an answer carries beyond the usual of its kind.
#[derive(Clone, Debug, Default)]
pub struct ErrorDetails {
    /// Instead of the kind's status.
    pub status: Option<u16>,
    /// Instead of the status's reason phrase.
    pub reason: Option<String>,
    /// Fields of the answer: a challenge, when to come again.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// A plain text instead of a problem, where the configuration asks for one (Ocelot's quota message).
    pub plain_body: Option<String>,
}

impl GatewayError {
    /// An error with the status and title of its code. `detail` is sent to the client: it must not contain a
    /// secret.
    pub fn new(why: ErrorCode, detail: impl Into<Cow<'static, str>>) -> GatewayError {
        GatewayError { why, detail: detail.into(), extra: None }
    }

    /// The same with more to say.
    pub fn with_details(mut self, more: impl FnOnce(&mut ErrorDetails)) -> GatewayError {
        more(self.extra.get_or_insert_default());
        self
    }

    /// The status of the answer.
    pub fn status(&self, ocelot: bool) -> u16 {
        self.extra.as_ref().and_then(|extra| extra.status).unwrap_or_else(|| self.why.status(ocelot))
    }

    /// A request that breaks a rule of the grammar.
    pub fn malformed_request(detail: &'static str) -> GatewayError {
        GatewayError::new(ErrorCode::RequestMalformed, detail)
    }

    /// A backend's answer that breaks a rule of the grammar.
    pub fn malformed_response(detail: &'static str) -> GatewayError {
        GatewayError::new(ErrorCode::BackendMalformed, detail)
    }

    /// The client closed the connection early: status 499 in the access log, nothing is sent.
    pub fn client_closed() -> GatewayError {
        GatewayError::new(
            ErrorCode::ClientClosed,
            "the client closed the connection before the answer was complete",
        )
    }
}

/// The reason phrase of a status.
pub fn reason(status: u16) -> &'static str {
    match status {
        // RFC 9110 renamed it; the `http` crate has the name of RFC 7231.
        413 => "Content Too Large",
        499 => "Client Closed Request",
        _ => http::StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_timeouts_differ_under_ocelot() {
        let names: std::collections::HashSet<_> = ErrorCode::ALL.iter().map(|w| w.name()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        assert_eq!(
            (ErrorCode::BackendTimeout.status(false), ErrorCode::BackendTimeout.status(true)),
            (504, 503)
        );
    }
}
