//! The error codes: their stable names, the responsible party, their statuses and titles.

/// The party responsible for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Client,
    Backend,
    Gateway,
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $fault:ident, $status:literal, $ocelot:literal, $title:literal;)*) => {
        /// The error codes. Their names are stable: they appear in problem bodies, in the access log and in metrics.
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
            /// All error codes.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name),*];

            /// The stable name, `area.reason`.
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => $text),* }
            }

            /// The responsible party.
            pub fn fault(self) -> Fault {
                match self { $(ErrorCode::$name => Fault::$fault),* }
            }

            /// The status of the response; Ocelot mode has its own (docs/ocelot-behavior.md, section 9).
            pub fn status(self, ocelot: bool) -> u16 {
                match (self, ocelot) { $((ErrorCode::$name, false) => $status, (ErrorCode::$name, true) => $ocelot),* }
            }

            /// Whether the request itself is malformed, so that the framing of its connection can no longer be trusted.
            pub fn breaks_connection(self) -> bool {
                matches!(self, ErrorCode::RequestMalformed | ErrorCode::RequestBody | ErrorCode::RequestTimeout | ErrorCode::RequestCoding)
            }

            /// One short sentence for the reader.
            pub fn title(self) -> &'static str {
                match self { $(ErrorCode::$name => $title),* }
            }
        }
    };
}

error_codes! {
    // name = stable name, responsible party, status, status in Ocelot mode, title;
    RequestMalformed = "request.malformed", Client, 400, 400, "Malformed request";
    /// A dot segment next to an escaped separator, which a backend may read as a dot segment.
    RequestPath = "request.path", Client, 400, 400, "Path not allowed";
    /// A field name with an underscore, where they are rejected.
    RequestFieldName = "request.field_name", Client, 400, 400, "Field name not allowed";
    RequestVersion = "request.version", Client, 505, 505, "HTTP version not supported";
    RequestMethod = "request.method", Client, 501, 501, "Method not supported";
    RequestCoding = "request.coding", Client, 501, 501, "Transfer coding not supported";
    /// A WebSocket handshake on a route that only returns ordinary responses.
    RequestUpgrade = "request.upgrade", Client, 501, 501, "Upgrade not supported";
    RequestLength = "request.length", Client, 411, 411, "Length required";
    RequestLine = "request.line", Client, 414, 414, "Request line too long";
    RequestHeaders = "request.headers", Client, 431, 431, "Request header fields too large";
    RequestTimeout = "request.timeout", Client, 408, 408, "Request not received in time";
    /// The connection was established for another host, with another certificate.
    RequestMisdirected = "request.misdirected", Client, 421, 421, "Misdirected request";
    RequestBody = "request.body", Client, 413, 413, "Request body too large";
    /// HTTP/2 frames that violate the protocol; the connection is closed.
    RequestFrame = "request.frame", Client, 400, 400, "Malformed frame";
    /// HTTP/2 frames without payload, above the rate limit; the connection is closed.
    RequestFrameFlood = "request.frame_flood", Client, 429, 429, "Too many frames";
    /// On a listener with the PROXY protocol: no such header, or a malformed one. The connection is closed.
    ProxyHeader = "proxy.header", Client, 400, 400, "Missing or malformed PROXY header";
    /// The header was not complete in time.
    ProxyTimeout = "proxy.timeout", Client, 408, 408, "PROXY header not received in time";
    /// The peer is not in `ProxyProtocol.Trusted`.
    ProxyUntrusted = "proxy.untrusted", Client, 403, 403, "Peer is not a trusted proxy";
    /// No route matches the request.
    RouteNotFound = "route.not_found", Client, 404, 404, "No matching route";
    /// The API has no operation for the path.
    OperationNotFound = "operation.not_found", Client, 404, 404, "No matching operation";
    /// The API has operations for the path, and none for the method.
    OperationMethodNotAllowed = "operation.method_not_allowed", Client, 405, 405, "Method not allowed";
    /// The API needs a subscription key, and the request has none.
    SubscriptionMissing = "subscription.missing", Client, 401, 401, "Subscription key missing";
    /// The subscription key opens nothing here.
    SubscriptionInvalid = "subscription.invalid", Client, 401, 401, "Invalid subscription key";
    /// A connection to a transport listener: no ClientHello within `HelloTimeout`.
    HelloTimeout = "hello.timeout", Client, 408, 408, "ClientHello not received in time";
    HelloSize = "hello.size", Client, 431, 431, "ClientHello too large";
    /// No TLS, or a malformed ClientHello, where every route has conditions.
    HelloMalformed = "hello.malformed", Client, 400, 400, "Missing or malformed ClientHello";
    /// The connections of the transport route.
    RouteConnectionLimit = "route.connection_limit", Gateway, 503, 503, "Too many connections of the route";
    /// UDP sessions, in total or of the client's address.
    LimitSessions = "limit.sessions", Client, 503, 503, "Too many UDP sessions";
    /// Traffic rules do not allow the source to reach the endpoint.
    RoleDenied = "role.denied", Client, 403, 403, "Denied by traffic rules";
    /// The server name or the path leads to no role, endpoint or instance that the caller may see.
    RoleUnknown = "role.unknown", Client, 404, 404, "Unknown role";
    /// The directory accepts no registrations.
    RoleRegistration = "role.registration", Client, 403, 403, "Registration is off";
    /// The caller is not the instance that it changes.
    RoleSelf = "role.self", Client, 403, 403, "Not the caller's own instance";
    /// The registration of a new instance has no usable host.
    RoleHost = "role.host", Client, 400, 400, "Invalid host of an instance";
    /// The instance is part of the configuration.
    RoleStatic = "role.static", Client, 409, 409, "Instance of the configuration";
    /// The response of Ocelot for a configuration with which it starts but which it cannot serve.
    RouteMisconfigured = "route.misconfigured", Gateway, 500, 500, "Route misconfigured";
    RouteUnsupported = "route.unsupported", Gateway, 500, 404, "Route not supported";
    /// The client's address is in the list of blocked addresses, or not in the list of allowed addresses.
    AccessIpDenied = "access.ip_denied", Client, 403, 403, "Client address denied";
    /// A header of the request is missing or has another value, where `check-header` requires it.
    AccessHeader = "access.header", Client, 403, 403, "Header missing or different";
    /// A CORS preflight request from an origin that is not allowed.
    CorsOriginDenied = "cors.origin_denied", Client, 403, 403, "Origin not allowed";
    RateLimitExceeded = "rate_limit.exceeded", Client, 429, 429, "Too many requests";
    /// The header that identifies the client is missing.
    RateLimitClientIdMissing = "rate_limit.client_id_missing", Client, 503, 503, "Client ID header missing";
    /// The calls or the bandwidth of a period are used up.
    QuotaExceeded = "quota.exceeded", Client, 403, 403, "Quota exceeded";
    /// The client has reached its maximum number of open WebSocket connections.
    LimitWebsockets = "limit.websockets", Client, 503, 503, "Too many WebSocket connections from this client";
    /// The store of the shared state does not reply, and `SharedState.OnFailure` is `Refuse`.
    StateUnavailable = "state.unavailable", Gateway, 503, 503, "Shared state unavailable";
    LimitConcurrency = "limit.concurrency", Gateway, 503, 503, "Too many concurrent requests";
    /// The request was queued and not admitted within the queue timeout.
    LimitQueueTimeout = "limit.queue_timeout", Gateway, 503, 503, "Timed out in the queue";
    /// The caller has none of the scopes that the route requires.
    AccessScope = "access.scope", Client, 403, 403, "Scope missing";
    /// A claim that the route requires is missing or has another value.
    AccessClaim = "access.claim", Client, 403, 403, "Claim missing or different";
    /// The condition of the route is false or cannot be evaluated.
    AccessCondition = "access.condition", Client, 403, 403, "Condition not met";
    /// A service outside of the gateway denied the request; its response is relayed.
    AccessExternal = "access.external", Client, 403, 403, "Denied by the authorizer";
    /// The authorizer did not respond, and `OnFailure` is `Deny`.
    AccessAuthorizerUnavailable = "access.authorizer_unavailable", Gateway, 503, 503, "Authorizer unavailable";
    /// The request has no credentials for any scheme of the route.
    IdentityMissing = "identity.missing", Client, 401, 401, "No credentials";
    IdentityMalformed = "identity.malformed", Client, 401, 401, "Malformed credentials";
    IdentityAlgorithm = "identity.algorithm", Client, 401, 401, "Algorithm not allowed";
    IdentityCritical = "identity.critical", Client, 401, 401, "Unsupported critical header parameter";
    IdentityType = "identity.type", Client, 401, 401, "Wrong token type";
    IdentityKey = "identity.key", Client, 401, 401, "Unknown signing key";
    IdentitySignature = "identity.signature", Client, 401, 401, "Invalid signature";
    IdentityExpired = "identity.expired", Client, 401, 401, "Token expired";
    IdentityNotYetValid = "identity.not_yet_valid", Client, 401, 401, "Token not yet valid";
    /// The token, its session or its subject is in the list of revocations.
    IdentityRevoked = "identity.revoked", Client, 401, 401, "Token revoked";
    /// The authorization server does not accept the token (any more).
    IdentityInactive = "identity.inactive", Client, 401, 401, "Token not active";
    /// The token is bound to a key or a certificate that the client does not have, or must be bound and is not.
    IdentityBinding = "identity.binding", Client, 401, 401, "Wrong binding of the token";
    /// The DPoP proof is missing or invalid.
    IdentityProof = "identity.proof", Client, 401, 401, "Invalid proof of possession";
    /// The DPoP proof needs a nonce of the gateway.
    IdentityNonce = "identity.nonce", Client, 401, 401, "Nonce required";
    /// A proof or a signature was used before.
    IdentityReplayed = "identity.replayed", Client, 401, 401, "Credentials used before";
    IdentityIssuer = "identity.issuer", Client, 401, 401, "Wrong token issuer";
    IdentityAudience = "identity.audience", Client, 401, 401, "Wrong token audience";
    /// Unknown API key, or wrong user name or password.
    IdentityInvalidCredentials = "identity.invalid_credentials", Client, 401, 401, "Invalid credentials";
    /// The keys of the issuer cannot be fetched, so its tokens cannot be verified.
    IdentityProviderUnavailable = "identity.provider_unavailable", Gateway, 503, 401, "Identity provider unavailable";
    /// The route requires a sign-in, and the request has no session.
    SessionRequired = "session.required", Client, 401, 401, "Sign-in required";
    /// The session cookie is forged, truncated, or of other keys.
    SessionInvalid = "session.invalid", Client, 401, 401, "Invalid session";
    /// The session has ended: by its lifetimes, by a sign-out, or at the provider.
    SessionExpired = "session.expired", Client, 401, 401, "Session ended";
    /// Another site may have caused the request.
    SessionCsrf = "session.csrf", Client, 403, 403, "Cross-site request";
    SessionReturnUrl = "session.return_url", Client, 400, 400, "Return URL not allowed";
    /// The callback belongs to no sign-in of this browser, or the provider refuses the sign-in.
    SessionCallback = "session.callback", Client, 400, 400, "Sign-in failed";
    SessionLogoutToken = "session.logout_token", Client, 400, 400, "Invalid logout request";
    SessionEndpoint = "session.endpoint", Client, 404, 404, "No such endpoint of sessions";
    /// The provider issues no token for the audience of the route.
    SessionAudience = "session.audience", Client, 403, 403, "No token for the audience";
    /// The browser is sent to the provider repeatedly without getting a session.
    SessionLoop = "session.loop", Client, 508, 508, "Sign-in loop";
    SessionProviderUnavailable = "session.provider_unavailable", Gateway, 503, 503, "Sign-in provider unavailable";
    IdentityBusy = "identity.busy", Gateway, 503, 401, "Too many pending password or signature checks";
    /// The request has `only-if-cached`, and no stored response matches.
    CacheOnlyIfCached = "cache.only_if_cached", Client, 504, 504, "Not in the cache";
    /// The anomaly score of the managed rules of the firewall, or a rule that blocks on its own.
    WafBlocked = "waf.blocked", Client, 403, 403, "Blocked by the firewall";
    /// A custom rule of the firewall.
    WafRule = "waf.rule", Client, 403, 403, "Blocked by a rule of the firewall";
    WafRate = "waf.rate", Client, 429, 429, "Too many requests for a rule of the firewall";
    WafBot = "waf.bot", Client, 403, 403, "Blocked as a bot";
    /// The body does not have the format that the request declares.
    WafMalformed = "waf.malformed", Client, 400, 400, "Malformed body";
    WafBody = "waf.body", Client, 413, 413, "Body too large for the firewall";
    /// The rules of the firewall for responses.
    WafResponse = "waf.response", Backend, 502, 502, "Response blocked by the firewall";
    /// The queue of the firewall is full, or too slow.
    WafOverload = "waf.overload", Gateway, 503, 503, "Firewall overloaded";
    WafFailed = "waf.failed", Gateway, 500, 500, "Firewall failed";
    ClientClosed = "client.closed", Client, 499, 499, "Client closed the connection";
    /// The client accepted the response more slowly than `Limits.MinResponseDataRate`.
    ClientReadTimeout = "client.read_timeout", Client, 408, 408, "Response not accepted in time";
    /// The HTTP/2 streams of the client's address, across its connections; the stream is refused.
    ClientStreamLimit = "client.stream_limit", Client, 503, 503, "Too many concurrent streams from this client";
    /// The client certificate of an open connection has expired.
    ClientCertificateExpired = "client.certificate_expired", Client, 421, 421, "Client certificate expired";
    ClientConnectionLimit = "client.connection_limit", Client, 503, 503, "Too many connections from this client";
    GatewayConnectionLimit = "gateway.connection_limit", Gateway, 503, 503, "Too many connections";
    /// The memory for bodies that are collected is in use, or the client's share of it.
    GatewayBufferingLimit = "gateway.buffering_limit", Gateway, 503, 503, "Too much buffered data";
    BackendNoEndpoint = "backend.no_endpoint", Backend, 503, 404, "No available endpoint";
    BackendDns = "backend.dns", Backend, 502, 502, "DNS resolution failed";
    BackendConnect = "backend.connect", Backend, 502, 502, "Backend not reachable";
    BackendConnectTimeout = "backend.connect_timeout", Backend, 504, 503, "Connection to the backend timed out";
    /// The endpoint is the administration address of the gateway.
    BackendForbidden = "backend.forbidden", Gateway, 502, 502, "Backend not allowed";
    /// The backend's certificate is not trusted, or is issued for another host.
    BackendCertificate = "backend.certificate", Backend, 502, 502, "Invalid backend certificate";
    BackendTls = "backend.tls", Backend, 502, 502, "TLS handshake with the backend failed";
    BackendSend = "backend.send", Backend, 502, 502, "Backend closed the connection during the request";
    BackendReset = "backend.reset", Backend, 502, 502, "Backend closed the connection";
    BackendTimeout = "backend.timeout", Backend, 504, 503, "Backend did not respond in time";
    /// The circuit breaker rejects requests after too many failures.
    BackendCircuitOpen = "backend.circuit_open", Backend, 503, 503, "Circuit breaker open";
    /// All connections are in use, and none was released within the timeout.
    BackendConnectionLimit = "backend.connection_limit", Gateway, 503, 503, "All connections to the backend are in use";
    BackendMalformed = "backend.malformed", Backend, 502, 502, "Malformed response from the backend";
    BackendUnexpectedUpgrade = "backend.unexpected_upgrade", Backend, 502, 502, "Unexpected upgrade by the backend";
    /// A response that a policy reads is larger than `ApiManagement.MaxBodySize`.
    BackendTooLarge = "backend.too_large", Backend, 502, 502, "Response from the backend too large";
    /// A response body is not in the format that a policy reads.
    BackendContent = "backend.content", Backend, 502, 502, "Unreadable response body";
    /// The response head was relayed; the body was not received completely.
    BackendTruncated = "backend.truncated", Backend, 502, 502, "Response from the backend truncated";
    /// The address of the request has no name of a service, or a parameter of the contract has an invalid value.
    FabricAddress = "fabric.address", Client, 400, 400, "Invalid service address";
    /// The service has no partition of the key.
    FabricKey = "fabric.key", Client, 400, 400, "Invalid partition key";
    FabricService = "fabric.service", Client, 404, 404, "Service not found";
    /// No replica has an endpoint of the listener that may be used.
    FabricEndpoint = "fabric.endpoint", Client, 404, 404, "Endpoint not found";
    FabricPartition = "fabric.partition", Backend, 404, 404, "Partition not found";
    /// The partition has no replica, after all attempts.
    FabricOffline = "fabric.offline", Backend, 503, 503, "No replica";
    /// The naming service does not respond, and nothing is known about the service.
    FabricNaming = "fabric.naming", Backend, 503, 503, "Naming service not reachable";
    /// The time of the request is over: look-ups, attempts and pauses together.
    FabricTimeout = "fabric.timeout", Backend, 504, 504, "Service did not respond in time";
    /// The response of a part cannot be included in the aggregate.
    AggregatePart = "aggregate.part", Backend, 502, 500, "Part of the aggregate failed";
    AggregateSize = "aggregate.size", Backend, 502, 502, "Aggregate response too large";
    AggregateTemplate = "aggregate.template", Gateway, 500, 500, "Aggregate template failed";
    /// The client accepts none of the available representations.
    RequestNotAcceptable = "request.not_acceptable", Client, 406, 406, "Not acceptable";
    /// A request body is not in the format that a policy reads.
    RequestContent = "request.content", Client, 400, 400, "Unreadable request body";
    /// The callback parameter of `jsonp` is not a JavaScript identifier.
    RequestCallback = "request.callback", Client, 400, 400, "Invalid callback parameter";
    /// An expression of a policy has no value for this request.
    PolicyExpression = "policy.expression", Gateway, 500, 500, "Policy expression failed";
    /// A statement of a policy cannot be done for this request.
    PolicyStatement = "policy.statement", Gateway, 500, 500, "Policy statement failed";
    /// A request that a policy sends has failed.
    PolicyCallout = "policy.callout", Gateway, 500, 500, "Policy call-out failed";
    /// The service has no hub of this name, or no such path.
    HubNotFound = "hub.not_found", Client, 404, 404, "No such hub or path";
    HubInvalidName = "hub.invalid_name", Client, 400, 400, "Invalid hub name";
    HubUpgradeRequired = "hub.upgrade_required", Client, 400, 400, "WebSocket upgrade required";
    HubTokenMissing = "hub.token_missing", Client, 401, 401, "Access token missing";
    HubTokenInvalid = "hub.token_invalid", Client, 401, 401, "Invalid access token";
    HubInvalidMode = "hub.invalid_mode", Client, 400, 400, "Invalid mode of the client";
    HubInvalidGroup = "hub.invalid_group", Client, 400, 400, "Invalid group name";
    HubTooManyGroups = "hub.too_many_groups", Client, 400, 400, "Too many groups";
    /// The connections of the hub (429) or of the process (503).
    HubConnectionLimit = "hub.connection_limit", Client, 429, 429, "Too many hub connections";
    /// The connect handler selected a subprotocol that the client did not offer.
    HubInvalidSubprotocol = "hub.invalid_subprotocol", Backend, 500, 500, "Subprotocol was not offered";
    HubEventHandlerFailed = "hub.event_handler_failed", Backend, 500, 500, "Event handler failed";
    /// The connect handler refused the client; its status and its body are relayed.
    HubConnectRefused = "hub.connect_refused", Client, 401, 401, "Connection refused by the event handler";
    HubInvalidRequest = "hub.invalid_request", Client, 400, 400, "Invalid request of the data plane";
    HubUnknownOperation = "hub.unknown_operation", Client, 404, 404, "Unknown operation of the data plane";
    HubInvalidFilter = "hub.invalid_filter", Client, 400, 400, "Invalid filter";
    HubInvalidPayload = "hub.invalid_payload", Client, 400, 400, "Invalid payload";
    SignalRIdMissing = "signalr.id_missing", Client, 400, 400, "Connection ID required";
    /// No connection has this token, or the endpoint that had it is gone; the client negotiates again.
    SignalRConnectionNotFound = "signalr.connection_not_found", Client, 404, 404, "No connection with that ID";
    /// The request does not fit the transport of the connection; 405 and 409 for other conflicts.
    SignalRTransportMismatch = "signalr.transport_mismatch", Client, 400, 400, "Transport mismatch";
    HubBackplaneUnavailable = "hub.backplane_unavailable", Gateway, 503, 503, "Nodes of the hub not reachable";
    /// No entry of `Tunnels.Agents` fits the id.
    AgentUnknown = "agent.unknown", Client, 404, 404, "Unknown agent";
    AgentDisabled = "agent.disabled", Client, 403, 403, "Agent disabled";
    AgentOffline = "agent.offline", Backend, 503, 503, "Agent not connected";
    /// The agent does not offer the service, or may not offer it.
    AgentService = "agent.service", Backend, 502, 502, "Service not offered by the agent";
    AgentAccess = "agent.access", Client, 403, 403, "Agent not allowed for this caller";
    AgentConnect = "agent.connect", Backend, 502, 502, "Service behind the agent not reachable";
    AgentConnectTimeout = "agent.connect_timeout", Backend, 504, 504, "Service behind the agent timed out";
    AgentStreamLimit = "agent.stream_limit", Gateway, 503, 503, "Too many streams to the agent";
    /// The instance of the agent has 16 connections.
    AgentInstance = "agent.instance", Client, 409, 409, "Too many connections of the instance";
    AgentUpgrade = "agent.upgrade_required", Client, 426, 426, "Upgrade to a tunnel required";
    AgentRequest = "agent.invalid_request", Client, 400, 400, "Invalid handshake of an agent";
    LimitAgents = "limit.agents", Gateway, 503, 503, "Too many agents";
    /// The address of the client presented too many wrong proofs.
    LimitProofs = "limit.proofs", Client, 429, 429, "Too many failed proofs of identity";
    DeviceNotFound = "device.not_found", Client, 404, 404, "Unknown device";
    DeviceOffline = "device.offline", Client, 404, 404, "Device not online";
    DeviceTimeout = "device.timeout", Backend, 504, 504, "Device did not answer in time";
    DeviceDisabled = "device.disabled", Client, 403, 403, "Device disabled";
    DeviceThrottled = "device.throttled", Client, 429, 429, "Too many device streams";
    DeviceRequest = "device.invalid_request", Client, 400, 400, "Invalid request for a device stream";
    BridgeToken = "bridge.token", Client, 401, 401, "Invalid bridge token";
    BridgeNotFound = "bridge.not_found", Client, 404, 404, "Unknown bridge";
    GatewayDraining = "gateway.draining", Gateway, 503, 503, "Gateway is shutting down";
    GatewayInternal = "gateway.internal", Gateway, 500, 500, "Internal error";
}
