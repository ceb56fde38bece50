//! `margay help error`: one page for every error code: its meaning, its fix, and Envoy's closest response flag.

use super::{Exit, output};
use crate::{
    config::suggest,
    pipeline::error::{ErrorCode, Fault},
};

/// The documentation of one error code.
struct CodeHelp {
    code: ErrorCode,
    /// The closest response flag of Envoy, or `-`.
    envoy_flag: &'static str,
    /// The meaning in a few words, for the table of `docs/errors.md`.
    summary: &'static str,
    meaning: &'static str,
    cure: &'static str,
}

const fn help(
    code: ErrorCode,
    envoy_flag: &'static str,
    summary: &'static str,
    meaning: &'static str,
    cure: &'static str,
) -> CodeHelp {
    CodeHelp { code, envoy_flag, summary, meaning, cure }
}

/// Prints one page, or the list of all codes.
pub(super) fn run(name: Option<&str>, is_json: bool) -> Exit {
    let Some(name) = name else {
        let all: serde_json::Value = CODE_HELP.iter().map(as_json).collect();
        output::write_stdout(&if is_json { format!("{all:#}\n") } else { list() });
        return Exit::Done;
    };
    match CODE_HELP.iter().find(|help| help.code.name() == name) {
        Some(help) => {
            let json = || format!("{:#}\n", as_json(help));
            output::write_stdout(&if is_json { json() } else { write_page(help) });
            Exit::Done
        }
        None => Exit::usage(&unknown(name)),
    }
}

fn as_json(help: &CodeHelp) -> serde_json::Value {
    serde_json::json!({
        "code": help.code.name(),
        "title": help.code.title(),
        "status": help.code.status(false),
        "ocelot_status": help.code.status(true),
        "fault": fault(help.code),
        "envoy_flag": help.envoy_flag,
        "summary": help.summary,
        "meaning": help.meaning,
        "cure": help.cure,
    })
}

fn fault(code: ErrorCode) -> &'static str {
    match code.fault() {
        Fault::Client => "client",
        Fault::Backend => "backend",
        Fault::Gateway => "gateway",
    }
}

fn unknown(name: &str) -> String {
    if name.starts_with("MG") {
        return format!("{name} is a diagnostic of the configuration; docs/diagnostics.md describes it");
    }
    let closest = suggest::closest_match(name, ErrorCode::ALL.iter().map(|code| code.name()));
    let hint = closest.map_or("`margay help error` lists all codes".to_owned(), |closest| {
        format!("did you mean \"{closest}\"?")
    });
    format!("unknown error code \"{name}\"; {hint}")
}

fn list() -> String {
    let line =
        |help: &CodeHelp| format!("{:<30} {}  {}\n", help.code.name(), help.code.status(false), help.summary);
    CODE_HELP.iter().map(line).collect()
}

fn write_page(help: &CodeHelp) -> String {
    let code = help.code;
    let (default, ocelot) = (code.status(false), code.status(true));
    let status =
        if default == ocelot { default.to_string() } else { format!("{default} ({ocelot} under Ocelot)") };
    let fault = fault(code);
    format!(
        "{}: {}\n\nstatus  {status}\nfault   {fault}\nEnvoy   {}\n\n{}\n\n{}\n",
        code.name(),
        code.title(),
        help.envoy_flag,
        help.meaning,
        help.cure
    )
}

#[rustfmt::skip]
static CODE_HELP: &[CodeHelp] = &[
    help(ErrorCode::RequestMalformed, "DPE", "request violates HTTP", "The request violates a rule of HTTP in a way that could be interpreted differently by another server, so it is not forwarded. The detail names the rule.", "Fix the client. The connection is closed, because the start of the next request cannot be determined."),
    help(ErrorCode::RequestPath, "-", "hidden dot segment", "The path contains a dot segment next to %2f, %5c, a backslash or a semicolon, such as /public/..%2fadmin, or is that of another route once these are read as separators, such as /admin%2fx and /admin;a/x. Many backends read it as /admin, behind the authentication of the route.", "Fix the client, or set PathWithEscapedSeparators to Unescape or Keep: globally, on the listener or on the route."),
    help(ErrorCode::RequestFieldName, "-", "underscore in a field name", "A request field has an underscore in its name, and Limits.UnderscoresInHeaders is Reject: many backends cannot distinguish it from a name with dashes.", "Rename the field, list it in ForwardedHeaders.AllowFromClients, or set Limits.UnderscoresInHeaders to Drop or Allow."),
    help(ErrorCode::RequestVersion, "DPE", "unsupported HTTP version", "The request line contains a protocol version other than HTTP/1.0 or HTTP/1.1.", "Use HTTP/1.1 in the client."),
    help(ErrorCode::RequestMethod, "-", "CONNECT or final TRACE", "The gateway does not support this method: CONNECT, or TRACE with Max-Forwards: 0.", "Send the request to the backend directly."),
    help(ErrorCode::RequestCoding, "DPE", "transfer coding besides chunked", "The body has a transfer coding other than chunked.", "Send the body unencoded or chunked; compress it with Content-Encoding."),
    help(ErrorCode::RequestUpgrade, "-", "WebSocket upgrade on an aggregate", "The client requests a WebSocket upgrade on the path of an aggregate (Aggregates), which has several backends.", "Open the WebSocket on the route of the backend itself."),
    help(ErrorCode::RequestLength, "-", "Content-Length missing for HTTP/1.0", "The backend uses HTTP/1.0, which requires the length of a body, and the client sent a chunked body.", "Send Content-Length, or set DownstreamHttpVersion to 1.1."),
    help(ErrorCode::RequestLine, "DPE", "request line over the limit", "The request line is longer than Limits.MaxRequestLineSize.", "Move long values into the body, or raise the limit."),
    help(ErrorCode::RequestHeaders, "DPE", "header fields over the limit", "The number or the total size of the header fields exceeds Limits or the route's RequestSizeOptions.", "Check for cookies that grow, or raise the limit."),
    help(ErrorCode::RequestTimeout, "SI", "head or body too slow", "The head was not complete within Limits.RequestHeadersTimeout, or the body was idle for Limits.BodyIdleTimeout.", "Check the network of the client; a slow attack (Slowloris) has the same symptom."),
    help(ErrorCode::RequestMisdirected, "-", "Host does not match SNI", "The server name of the TLS handshake (SNI) and the Host of the request have different certificates, or a request to be redirected to https has a Host that no certificate covers.", "Clients open another connection for that host, as browsers do automatically. A client that sets Host explicitly must send the same name as SNI. List further hosts of redirects in RedirectHosts."),
    help(ErrorCode::RequestBody, "-", "body over the size limit", "The body is larger than Limits.MaxRequestBodySize or the limit of the route (RequestSizeOptions).", "Send a smaller body, or raise the limit of the route."),
    help(ErrorCode::RequestFrame, "DPE", "HTTP/2 protocol error by client", "A client sent frames that violate HTTP/2 (RFC 9113). The connection was closed with the error code of the violated rule.", "Fix the client; the debug log contains its address."),
    help(ErrorCode::RequestFrameFlood, "DPE", "HTTP/2 reset or control-frame flood", "An HTTP/2 client exceeded the limit of stream resets or of frames without data per second. The connection was closed.", "If the client is legitimate, raise Limits.MaxStreamResetsPerSecond or Limits.MaxControlFramesPerSecond."),
    help(ErrorCode::ProxyHeader, "DPE", "no valid PROXY protocol header", "A trusted proxy connected to a listener with ProxyProtocol and did not send a valid PROXY header (version 1 or 2) first. The connection was closed without a response; the debug log contains the reason.", "Enable the PROXY protocol in the proxy, or set ProxyProtocol.Mode to Optional if some connections have no header."),
    help(ErrorCode::ProxyTimeout, "-", "PROXY header too slow", "A trusted proxy connected to a listener with ProxyProtocol and did not send the complete header within ProxyProtocol.Timeout. The connection was closed without a response.", "Check that the proxy sends the header immediately, or raise ProxyProtocol.Timeout."),
    help(ErrorCode::ProxyUntrusted, "-", "peer not in ProxyProtocol.Trusted", "A peer that is not in ProxyProtocol.Trusted connected to a listener that requires the PROXY protocol. The connection was closed without a response.", "If the peer is one of your proxies, add its address to Trusted; the debug log contains the address. If clients may also connect directly, set Mode to Optional."),
    help(ErrorCode::RouteNotFound, "NR", "no route matches the request", "No route matches the method, host, path and headers of the request.", "`margay explain METHOD URL` lists the near misses and why they did not match."),
    help(ErrorCode::OperationNotFound, "NR", "no operation for the path", "The API matches the path of the request, and none of its operations does; or the API has no such version or revision.", "Check UrlTemplate of the operations and the version; `margay explain METHOD URL` shows the API."),
    help(ErrorCode::OperationMethodNotAllowed, "-", "no operation for the method", "The API has operations for the path, and none for the method. The field Allow lists the methods.", "Use one of the methods in Allow, or add an operation."),
    help(ErrorCode::SubscriptionMissing, "UAEX", "subscription key missing", "The API requires a subscription key, and the request has none.", "Send the key in the header or the query parameter of SubscriptionKeyParameterNames, or set SubscriptionRequired of the API to false."),
    help(ErrorCode::SubscriptionInvalid, "UAEX", "subscription key does not fit", "The subscription key does not exist, is not active or has expired, belongs to a blocked user, or does not open this API.", "Check the state, the dates and the scope of the subscription."),
    help(ErrorCode::HelloTimeout, "-", "ClientHello timeout", "The listener selects its transport route by the server name or the protocols of TLS, and the client did not send a complete ClientHello within TransportOptions.HelloTimeout. The connection is reset.", "Usually a client that sends no TLS, or one on a slow link: raise HelloTimeout, or use a listener without UpstreamServerNames for clients without TLS."),
    help(ErrorCode::HelloSize, "-", "ClientHello too large", "The ClientHello of the connection is larger than 16 KiB. The connection is reset.", "No common client sends so much. If the client is yours, shorten its list of extensions."),
    help(ErrorCode::HelloMalformed, "-", "malformed ClientHello", "The connection begins neither with TLS nor with a valid ClientHello, and every transport route of the listener has UpstreamServerNames or UpstreamAlpn. The connection is reset.", "Let the client use TLS, or add a route without conditions for connections without TLS."),
    help(ErrorCode::RouteConnectionLimit, "UO", "connection limit of the route", "TransportOptions.MaxConnections of the transport route is reached. The connection is reset; a UDP datagram is dropped.", "Raise MaxConnections, or shorten IdleTimeout if idle connections fill the limit; see margay_transport_connections."),
    help(ErrorCode::LimitSessions, "UO", "UDP session limit", "Limits.MaxUdpSessions or Limits.MaxUdpSessionsPerClient is reached. The datagram is dropped; existing sessions continue.", "Raise the limit, shorten IdleTimeout, or set Replies for services with one response to each request, such as DNS."),
    help(ErrorCode::RoleDenied, "UAEX", "traffic rules", "TrafficRules do not allow the role of the source to reach the internal endpoint, or the source is no instance of a role. TCP connections are reset, datagrams dropped, HTTP requests get 403.", "margay explain role FROM TO.ENDPOINT prints the decision and its reason. Add a rule, or correct the Identity of the instance."),
    help(ErrorCode::RoleUnknown, "NR", "unknown role", "The server name on the internal listener, or the path in the directory, leads to no role, endpoint or instance that the caller may see.", "Compare the name with the roles of the configuration. RoleOptions.Visibility determines what callers of the directory see."),
    help(ErrorCode::RoleRegistration, "-", "registration off", "RoleOptions.Registration is Off, so that the directory accepts no changes.", "Set Registration to Self or Any."),
    help(ErrorCode::RoleSelf, "-", "not the own instance", "With RoleOptions.Registration Self an instance changes only itself, and the caller is another instance, or is not recognized.", "Correct the Identity of the instance, or set Registration to Any for an operator whom the route authenticates."),
    help(ErrorCode::RoleHost, "-", "invalid host of an instance", "A new instance needs a host, and a host is a name or an IP address.", "Send {\"host\": \"10.0.0.9\"} in the body."),
    help(ErrorCode::RoleStatic, "-", "instance of the configuration", "The instance is part of the configuration, so the directory does not remove it.", "Remove it from the configuration, or set its status to busy."),
    help(ErrorCode::RouteMisconfigured, "-", "invalid route, Ocelot returns 500", "The configuration of the route is invalid; Ocelot starts with such a file and returns 500.", "`margay check` reports what is wrong with the route."),
    help(ErrorCode::RouteUnsupported, "-", "invalid route, Ocelot returns 404", "The configuration of the route is not supported; Ocelot starts with such a file and returns 404.", "`margay check` reports what is wrong with the route."),
    help(ErrorCode::AccessIpDenied, "-", "client address blocked or unlisted", "The client's address is in IPBlockedList, or not in IPAllowedList.", "Behind a proxy, add the proxy to ForwardedHeaders.TrustedProxies, so that the address of the client itself is used; then check SecurityOptions."),
    help(ErrorCode::AccessHeader, "UAEX", "required header missing", "A header that `check-header` requires is missing or has another value.", "Send the header with one of the values that the policy lists."),
    help(ErrorCode::CorsOriginDenied, "-", "CORS origin not allowed", "The CORS preflight request has an origin that CorsOptions does not list.", "Add the origin to CorsOptions, including scheme and port."),
    help(ErrorCode::RateLimitExceeded, "RL", "rate limit exceeded", "The caller exceeded the rate limit in RateLimitOptions.", "Retry after the time in Retry-After, or raise the limit. PartitionBy defines which requests are counted together."),
    help(ErrorCode::RateLimitClientIdMissing, "-", "rate limit key header missing", "RateLimitOptions identifies clients by a header that the request does not have.", "Send the header in ClientIdHeader, or change PartitionBy."),
    help(ErrorCode::QuotaExceeded, "RL", "quota used up", "The calls or the bandwidth of a period of `quota` or `quota-by-key` are used up.", "Retry after the time in Retry-After, or raise the quota."),
    help(ErrorCode::LimitWebsockets, "-", "per-client WebSocket limit reached", "The client address has as many WebSocket connections open as Limits.MaxWebSocketsPerClient allows.", "Close some, or raise the limit."),
    help(ErrorCode::StateUnavailable, "RLSE", "shared state does not reply", "A limit with the scope Shared needs Redis, which does not reply within SharedState.Timeout, and SharedState.OnFailure is Refuse.", "The process log contains the reason and its cure; docs/shared-state.md. With OnFailure Local each gateway counts by itself meanwhile."),
    help(ErrorCode::LimitConcurrency, "UO", "concurrency limit and queue full", "The number of concurrent requests reached ConcurrencyLimitOptions, and the queue is full.", "Find out why the backend is slow, or raise the limit."),
    help(ErrorCode::LimitQueueTimeout, "UO", "timed out in concurrency queue", "The request waited in the queue of ConcurrencyLimitOptions for QueueTimeout.", "Find out why the backend is slow, or raise the limit."),
    help(ErrorCode::AccessScope, "UAEX", "token lacks a required scope", "The token is valid but has none of the AllowedScopes of the route.", "Request the scope from the identity provider; the detail lists the accepted scopes."),
    help(ErrorCode::AccessClaim, "UAEX", "claim missing or not matching", "A claim that RouteClaimsRequirement requires, or that a transform reads, is missing or has another value.", "Check the claims of the token; names and values are compared exactly."),
    help(ErrorCode::AccessCondition, "UAEX", "RouteClaimsExpression is false", "RouteClaimsExpression is false for this caller, or could not be evaluated, for example because a claim is missing.", "`margay explain` with the same headers shows the condition."),
    help(ErrorCode::AccessExternal, "UAEX", "denied by the external authorizer", "A scheme of the type External denied the request; the client gets its response.", "The log of the authorizer contains the reason; the detail in the access log contains its name and its status."),
    help(ErrorCode::AccessAuthorizerUnavailable, "UAEX", "external authorizer does not respond", "A scheme of the type External did not respond within its Timeout, and its OnFailure is Deny.", "The process log contains the reason. Check Url and the authorizer."),
    help(ErrorCode::IdentityMissing, "UAEX", "no credentials in the request", "The route requires authentication, and the request has no credentials that one of its schemes reads.", "Send the credentials that the WWW-Authenticate field of the response requests."),
    help(ErrorCode::IdentityMalformed, "UAEX", "unreadable token, key or password", "The credentials cannot be parsed as a token, a key or a password.", "Send them exactly as issued: not truncated and not encoded twice."),
    help(ErrorCode::IdentityAlgorithm, "UAEX", "token algorithm not allowed", "The token is signed with an algorithm that the scheme does not allow. The key determines the allowed algorithms, never the token.", "Add the algorithm to Algorithms of the scheme if the issuer really uses it."),
    help(ErrorCode::IdentityCritical, "UAEX", "unsupported crit parameter in token", "The token has a critical header parameter (crit) that the gateway does not support.", "Configure the issuer to issue tokens without it."),
    help(ErrorCode::IdentityType, "UAEX", "wrong typ in token", "The typ of the token is not one that the scheme accepts: for example an ID token instead of an access token.", "Send the access token, or set TokenTypes of the scheme."),
    help(ErrorCode::IdentityKey, "UAEX", "kid not in key set", "No key of the scheme matches the kid of the token, even after the keys were fetched again; or the token has no kid, and the first MaxKeysTried keys do not verify it.", "Check that the token comes from the issuer whose keys are configured, and has a kid; or raise MaxKeysTried."),
    help(ErrorCode::IdentitySignature, "UAEX", "token signature does not verify", "The signature does not verify: the token was modified, or signed with another key.", "Check that the token comes from the issuer whose keys are configured."),
    help(ErrorCode::IdentityExpired, "UAEX", "token expired", "The token has expired, ClockSkew included.", "Get a new token; if it is new, compare the clocks."),
    help(ErrorCode::IdentityNotYetValid, "UAEX", "token not yet valid", "The token is not valid yet (nbf), ClockSkew included.", "Compare the clocks of issuer and gateway."),
    help(ErrorCode::IdentityRevoked, "UAEX", "token revoked", "The token, its session or its subject was revoked with POST /v1/revocations.", "Sign in again."),
    help(ErrorCode::IdentityInactive, "UAEX", "token not active at its issuer", "The introspection endpoint does not accept the token: it expired, was revoked, or is for another server.", "Get a new token."),
    help(ErrorCode::IdentityBinding, "UAEX", "token bound to another key or certificate", "The token is bound to a key (cnf.jkt) or a certificate (cnf.x5t#S256) that the request does not prove, or the scheme requires a binding that the token does not have.", "Send a bound token as Authorization: DPoP with its proof, or over a connection with its client certificate."),
    help(ErrorCode::IdentityProof, "UAEX", "missing or invalid DPoP proof", "The DPoP field is missing, or its proof is for another method, URL, token or key, is too old, or has an invalid signature.", "The detail contains the claim that differs. Behind a proxy, add the proxy to ForwardedHeaders.TrustedProxies, so that scheme and host are those of the client."),
    help(ErrorCode::IdentityNonce, "UAEX", "DPoP nonce missing or expired", "The scheme requires a nonce in each proof, and the proof has none or an expired one.", "Repeat the request with the value of the DPoP-Nonce field in the proof."),
    help(ErrorCode::IdentityReplayed, "UAEX", "proof or signature used before", "The DPoP proof or the signature of the webhook was used before.", "Make a proof for each request. A sender that repeats a delivery must sign it again."),
    help(ErrorCode::IdentityIssuer, "UAEX", "iss differs from Issuer", "The iss of the token is not the Issuer of the scheme.", "Correct Issuer. The comparison is exact; a trailing slash counts."),
    help(ErrorCode::IdentityAudience, "UAEX", "aud lacks the Audience", "The aud of the token does not contain the Audience of the scheme: the token was issued for another service.", "Request a token for this audience."),
    help(ErrorCode::IdentityInvalidCredentials, "UAEX", "unknown API key or password", "The API key does not exist, or the user name or password is wrong.", "Check whether the key was revoked, and which header or parameter the scheme reads."),
    help(ErrorCode::IdentityProviderUnavailable, "UAEX", "JWKS never fetched", "The keys of the issuer (JWKS) could not be fetched yet, so its tokens cannot be verified.", "Check JwksUri or Authority and the log; the gateway keeps retrying. Once it has keys, it keeps using them."),
    help(ErrorCode::SessionRequired, "UAEX", "no sign-in session", "The route requires a sign-in (a scheme of the type OpenIdConnect), and the request has no session cookie. Pages are redirected to the provider; this is the response for scripts.", "Open Path/login in the browser, for example /bff/login?returnUrl=/."),
    help(ErrorCode::SessionInvalid, "UAEX", "session cookie forged or of other keys", "The session cookie cannot be opened: it was changed, is incomplete, or was sealed with a key that is not in SessionKeys any more.", "Sign in again. After a rotation keep the previous key as the second one of SessionKeys for the longest lifetime of a session; all gateways need the same keys."),
    help(ErrorCode::SessionExpired, "UAEX", "session ended", "The session has reached IdleTimeout or AbsoluteTimeout, was ended by a sign-out or by the provider, or the provider does not refresh its tokens.", "Sign in again."),
    help(ErrorCode::SessionCsrf, "UAEX", "possible cross-site request forgery", "A request that changes something has neither the CsrfHeader nor the origin of the application; or a WebSocket has another Origin; or another site may have caused a sign-out.", "Send X-CSRF: 1 with every unsafe request. If the gateway is behind a proxy, set PublicUrl."),
    help(ErrorCode::SessionReturnUrl, "-", "returnUrl is not a local path", "The returnUrl of a sign-in or a sign-out is not a path of this site.", "Use a path that begins with one slash."),
    help(ErrorCode::SessionCallback, "-", "sign-in not completed", "The callback belongs to no sign-in that this browser has begun, was used before, or the provider refuses the sign-in; the detail contains the reason.", "Begin again at Path/login. If cookies are missing, compare PublicUrl with the address in the browser."),
    help(ErrorCode::SessionLogoutToken, "-", "invalid logout of the provider", "A back-channel logout token is not valid, or a front-channel logout has another issuer.", "The detail contains the reason; compare Authority and ClientId with the registration at the provider."),
    help(ErrorCode::SessionEndpoint, "-", "no such session endpoint", "The path is below the Path of a sign-in scheme, and there is no such endpoint, or not with this method.", "The endpoints are login, callback, logout, user, back-channel-logout, front-channel-logout and, if enabled, diagnostics."),
    help(ErrorCode::SessionAudience, "UAEX", "no token for TokenAudience", "The provider issues no token for the TokenAudience of the route by the AudienceGrant of the scheme.", "Permit the gateway's client to exchange tokens for this audience at the provider; the process log contains its error."),
    help(ErrorCode::SessionLoop, "-", "sign-in repeated without success", "The browser was sent to the provider five times within a minute and still had no session.", "The page contains the last reason. Check that the site is served over https, that cookies are accepted, and the clocks of gateway and provider."),
    help(ErrorCode::SessionProviderUnavailable, "UAEX", "provider of sign-ins does not respond", "The provider does not respond, so that a sign-in cannot begin or a session cannot be refreshed. Sessions with valid tokens go on.", "Check Authority; the process log contains the reason."),
    help(ErrorCode::IdentityBusy, "-", "password or signature check queue full", "The queue of password or token signature checks is full; the client address with the most waiting checks loses its newest one.", "Retry later; if it persists, the cause may be a brute-force attack on passwords or a flood of invalid tokens."),
    help(ErrorCode::CacheOnlyIfCached, "-", "only-if-cached without stored response", "The request contains Cache-Control: only-if-cached, and no stored response can be used without a request to the backend.", "Send the request without that directive."),
    help(ErrorCode::WafBlocked, "UAEX", "managed rules of the firewall", "The anomaly score of the request reached the threshold of its policy, or a managed rule with the action Block matched.", "The log of the firewall contains rule, part and value under the request id. If the request is legitimate, exclude that part for that rule in Exclusions (docs/waf.md)."),
    help(ErrorCode::WafRule, "UAEX", "custom rule of the firewall", "A custom rule with the action Block matched.", "The log of the firewall contains the name of the rule; change its Conditions in CustomRules."),
    help(ErrorCode::WafRate, "RL", "rate limit of a custom rule", "More requests match a custom rule than its RateLimit allows.", "Retry after the time in Retry-After, or raise RateLimit.Limit of the rule."),
    help(ErrorCode::WafBot, "UAEX", "client is a bot", "The user agent or the address of the client is in Bots, or a client that claims to be a known bot has no host name of it.", "Change BadAgents, BadAddresses or VerifiedBots of the policy."),
    help(ErrorCode::WafMalformed, "DPE", "body not in its declared format", "The body is not valid JSON, XML or multipart/form-data although Content-Type declares it, or the request has more than 1000 arguments.", "Send a valid body, or the Content-Type that describes it."),
    help(ErrorCode::WafBody, "-", "body over the inspection limit", "The body is longer than RequestBody.InspectLimit of the policy, or its files are larger than MaxFileUploadSize.", "Raise the limit, or set Oversize to InspectBeginning."),
    help(ErrorCode::WafResponse, "-", "response rules of the firewall", "The anomaly score of the response reached OutboundThreshold of the policy: the backend sent an error message, source code or other text that attackers look for.", "The log of the firewall contains the rules under the request id. Correct the backend, or disable the rule in ManagedRules."),
    help(ErrorCode::WafOverload, "UO", "queue of the firewall full", "The evaluation of a long request found no thread within WafEngine.QueueTimeout.", "Retry after a second. If it persists, raise Threads or QueueLimit, or set OnOverload to Pass."),
    help(ErrorCode::WafFailed, "-", "firewall failed", "The evaluation of the request ended with an internal error of the firewall.", "Report the error with the line of the log; OnError of the policy set to Pass forwards such requests."),
    help(ErrorCode::ClientClosed, "DC", "client disconnected before the response", "The client closed its connection before the response was complete. The status 499 is not sent; it appears in the access log only.", "Check the timeouts of the client, and backend_duration_ms in the access log."),
    help(ErrorCode::ClientReadTimeout, "-", "client reads too slowly", "The client accepted the response more slowly than Limits.MinResponseDataRate, or none of it for Limits.BodyIdleTimeout. The connection, or the HTTP/2 stream, was closed within the response.", "Check the network of the client; lower Limits.MinResponseDataRate for clients that are slow on purpose."),
    help(ErrorCode::ClientStreamLimit, "UO", "too many HTTP/2 streams", "The client address has more concurrent HTTP/2 streams than Limits.MaxStreamsPerClient, or than its share while many streams are active. The stream was refused (REFUSED_STREAM).", "Raise Limits.MaxStreamsPerClient if the clients share an address."),
    help(ErrorCode::ClientCertificateExpired, "-", "client certificate expired on an open connection", "The client certificate was valid when the connection began, and has expired since. The connection is closed.", "Open another connection with a valid certificate; CheckOpenConnections of ClientCertificates turns the check off."),
    help(ErrorCode::ClientConnectionLimit, "-", "per-client connection limit reached", "The client address has more connections than Limits.MaxConnectionsPerClient.", "Let the client reuse its connections (keep-alive), or raise the limit."),
    help(ErrorCode::GatewayConnectionLimit, "OM", "gateway connection limit reached", "The process has reached Limits.MaxConcurrentConnections or its file descriptor limit.", "Raise the file descriptor limit of the process, or add an instance."),
    help(ErrorCode::GatewayBufferingLimit, "OM", "memory for buffered bodies in use", "A body has to be collected (by a stage or an aggregate), and Limits.MaxBufferingMemory is in use, or the share of the client address in it.", "Raise Limits.MaxBufferingMemory, or lower MaxRequestBodySize of the route, and MaxPartSize and MaxSize of aggregates."),
    help(ErrorCode::BackendNoEndpoint, "UH", "no endpoint, or none healthy", "The cluster of the route has no endpoint, or none that is healthy. The detail names an unhealthy endpoint and the reason.", "Check DownstreamHostAndPorts and service discovery; `GET /clusters` on the administration address lists the health of every endpoint."),
    help(ErrorCode::BackendDns, "DF", "backend host not resolved", "The host name of the backend could not be resolved to an address. The detail contains the name.", "Check the name and the resolver of the machine."),
    help(ErrorCode::BackendConnect, "UF", "connection to backend failed", "The connection to the backend failed: refused or unreachable. The detail contains the address.", "Check that the backend is running and listening on that address."),
    help(ErrorCode::BackendConnectTimeout, "UF", "connection to backend timed out", "The backend did not accept the connection within Limits.ConnectTimeout.", "Check for a firewall that drops packets, or an overloaded backend."),
    help(ErrorCode::BackendForbidden, "-", "backend is the administration address", "The endpoint is the administration address of the gateway itself, by one of its names or addresses, so that clients could control the gateway. No connection was opened. The detail contains the endpoint.", "Check the endpoints of the route and what service discovery reports; the administration address is reached directly only."),
    help(ErrorCode::BackendCertificate, "UF", "backend certificate not trusted", "The certificate of the backend is expired, issued for another name, or signed by an untrusted authority. The detail contains the reason. Nothing was sent to the backend.", "Renew the certificate, or add its authority with TlsOptions.CaFile or to the system's certificates. Use DangerousAcceptAnyServerCertificateValidator for tests only."),
    help(ErrorCode::BackendTls, "UF", "TLS handshake with backend failed", "The backend was reached, but the TLS handshake failed: the backend does not use TLS, shares no protocol version or cipher suite, or rejected the handshake. The detail contains the reason.", "Check that DownstreamScheme and the port match the backend, and check its log."),
    help(ErrorCode::BackendSend, "UC", "backend closed while receiving", "The backend closed the connection before the complete request was sent, and did not respond.", "Check the log of the backend at that time; some servers close the connection when a body is too large."),
    help(ErrorCode::BackendReset, "UC", "backend closed before responding", "The backend closed the connection before it responded. An idempotent request that failed on a reused connection was retried once.", "Check the log of the backend at that time; a crash has the same symptom."),
    help(ErrorCode::BackendTimeout, "UT", "no response head in time", "The response head did not arrive within the Timeout of the route.", "Find out why the backend is slow, or raise Timeout of the route."),
    help(ErrorCode::BackendCircuitOpen, "UO", "circuit breaker rejects the request", "The circuit breaker is open because too many requests failed (QoSOptions): requests are rejected until the time in Retry-After has passed; then one trial request is sent (half-open).", "Find out why the backend fails; margay_circuit_breaker_events_total counts transitions of the breaker."),
    help(ErrorCode::BackendConnectionLimit, "UO", "connection pool exhausted", "The connections to the backend reached MaxConnectionsPerServer, and the queue for them is full, the request waited in it for ConnectionQueueTimeout, or more requests arrive than the backend serves.", "Find out why the backend is slow, or raise MaxConnectionsPerServer or ConnectionQueueLimit of HttpHandlerOptions."),
    help(ErrorCode::BackendMalformed, "UPE", "backend violates HTTP", "The response of the backend violates a rule of HTTP. The detail names the rule.", "Fix the backend; an ambiguous response is not passed on."),
    help(ErrorCode::BackendUnexpectedUpgrade, "UPE", "backend sent an invalid 101", "The backend sent 101 without a matching upgrade request, or with a wrong Sec-WebSocket-Accept.", "Fix the backend."),
    help(ErrorCode::BackendTooLarge, "-", "body that policies read is too large", "A response body that a policy reads is larger than ApiManagement.MaxBodySize.", "Raise MaxBodySize, or do not read the body in policies."),
    help(ErrorCode::BackendContent, "-", "response body not JSON or XML", "A response body is not in the format that a policy reads.", "Check Content-Type and the body of the backend; use the optional form of the function in the expression."),
    help(ErrorCode::BackendTruncated, "UC", "response body ended early", "The response head was sent to the client, and the body then ended early or was idle for too long. The client receives a truncated body.", "Check the log of the backend at that time."),
    help(ErrorCode::FabricAddress, "-", "invalid service address", "The address has no name of a service, or a parameter of the contract (PartitionKind, PartitionKey, TargetReplicaSelector, Timeout, ServiceName) has an invalid value. The detail contains the parameter.", "Send /App/Service/... with the parameters of docs/service-fabric.md."),
    help(ErrorCode::FabricKey, "-", "no partition of the key", "The service has no partition of the key: it is outside of all ranges, no name of a partition, missing, or of another kind than the service is divided by. By route, the request has no value for PartitionKey.", "Compare the key with the partitions of the service: GET /fabric on the administration address lists them."),
    help(ErrorCode::FabricService, "NR", "no such service", "No service has a name with which the address begins, or the route does not make it reachable (Services, HiddenServices). Names are case-sensitive.", "Check the name with GET /fabric on the administration address, and Services of the route."),
    help(ErrorCode::FabricEndpoint, "-", "no usable endpoint", "The replicas have no endpoint with that listener name, or none with a scheme of EndpointSchemes.", "Check ListenerName, EndpointSchemes and AssumeScheme, and the addresses that the replicas report."),
    help(ErrorCode::FabricPartition, "-", "partition unknown to the cluster", "The cluster does not know the partition any more, after all attempts.", "Check whether the service is being created or deleted."),
    help(ErrorCode::FabricOffline, "UH", "no replica", "The partition has no replica to which the request can be sent, after all attempts: no primary, or no instance.", "Check the health of the service in the cluster, or which replicas have registered."),
    help(ErrorCode::FabricNaming, "UH", "naming service not reachable", "The naming service of the cluster does not respond, and nothing is known about the service.", "Check Endpoints, TlsOptions and Token of the resolver, and the HTTP gateway of the cluster."),
    help(ErrorCode::FabricTimeout, "UT", "service did not respond in time", "The time of the request is over, look-ups, attempts and pauses together; or the attempts are exhausted with \"WhenExhausted\": \"Timeout\".", "Find out why the service is slow, or raise Timeout of the route or of the request."),
    help(ErrorCode::AggregatePart, "-", "required aggregate part failed", "A required part of an aggregate responded with an error status, with a body that is not JSON or exceeds its limit, or its values require more calls than MaxCalls. The detail names the part. A status of 400 to 499 becomes the status of the whole response.", "Send a request to the route of that part alone; or set \"Optional\": true for the part in RouteKeysConfig."),
    help(ErrorCode::AggregateSize, "-", "parts exceed MaxSize together", "The parts of the aggregate together are longer than its MaxSize.", "Request less data, or raise MaxSize of the aggregate."),
    help(ErrorCode::AggregateTemplate, "-", "aggregate template failed", "The template of the aggregate exceeded its execution limit, or its output is not JSON. The detail contains the line.", "Test the template with the responses of the parts; values are inserted as JSON, quotes included."),
    help(ErrorCode::RequestNotAcceptable, "-", "no acceptable media type", "The client's Accept matches none of the media types of the aggregate.", "Send Accept: application/json, or add the media type to Formats of the aggregate."),
    help(ErrorCode::RequestContent, "-", "request body not JSON or XML", "A request body is not in the format that a policy reads.", "Send a valid body with the right Content-Type."),
    help(ErrorCode::RequestCallback, "-", "invalid JSONP callback", "The callback parameter of `jsonp` is not a JavaScript identifier.", "Send a name that consists of letters, digits, underscores, dollar signs and dots."),
    help(ErrorCode::PolicyExpression, "-", "policy expression failed", "An expression of a policy has no value for this request, for example because a key is missing. The log contains the reason, the document and the statement.", "Use the optional forms, such as `.?name` and `.orValue()`, or add an on-error section."),
    help(ErrorCode::PolicyStatement, "-", "policy statement failed", "A statement of a policy cannot be done for this request. The log contains the reason, the document and the statement.", "Correct the value that the statement receives; the log names it."),
    help(ErrorCode::PolicyCallout, "UF", "request of a policy failed", "A request that a policy sends failed or timed out, or its host is not allowed by ApiManagement.Callouts.", "Check the host and the log; `\"ignore-error\": true` continues without a response."),
    help(ErrorCode::HubNotFound, "-", "unknown hub or path of a hub service", "The service has no hub of this name and no hub `*`, or the path is none of a hub service: /client/hubs/{hub}, /client/?hub={hub}, /api/health, /api/hubs/{hub}/...", "Add the hub to HubServices, or correct the path; DownstreamPathTemplate of the route must result in a path within the service."),
    help(ErrorCode::HubInvalidName, "-", "invalid hub name", "The hub is missing, is given twice, or is not a valid name: a letter, then up to 127 letters, digits and _`,.[].", "Correct the name."),
    help(ErrorCode::HubUpgradeRequired, "-", "no WebSocket handshake", "The path of clients of a hub accepts WebSocket handshakes only.", "Connect with a WebSocket client; check that proxies in front of the gateway forward the upgrade."),
    help(ErrorCode::HubTokenMissing, "-", "no access token", "The hub does not accept anonymous clients, and the request has neither an Authorization field nor the query parameter access_token.", "Request a token from the application, or set AnonymousConnect on the hub."),
    help(ErrorCode::HubTokenInvalid, "-", "invalid access token", "The token was not signed with a key of the service, is expired or not valid yet, or was issued for another address. The detail names the rule.", "Compare the aud claim with PublicUrls and the request path, and the keys of the application with Keys."),
    help(ErrorCode::HubInvalidMode, "-", "invalid webpubsub_mode", "The parameter webpubsub_mode is neither sendEvent nor sendToGroup.", "Correct the URL of the client."),
    help(ErrorCode::HubInvalidGroup, "-", "invalid group name", "A group of the handshake is missing, given twice or not a valid name: 1 to 1024 characters, not only white space.", "Correct the URL, the token or the response of the connect handler."),
    help(ErrorCode::HubTooManyGroups, "-", "too many groups in the handshake", "The token and the connect handler add the client to more groups than Limits.MaxGroupsPerConnection of the hub.", "Assign fewer groups, or raise the limit."),
    help(ErrorCode::HubConnectionLimit, "UO", "hub connection limit", "The hub has Limits.MaxConnections connections, sessions without a socket included (429), or the process has Realtime.Limits.MaxConnections (503).", "Raise the limit, or add nodes."),
    help(ErrorCode::HubInvalidSubprotocol, "-", "subprotocol was not offered", "The connect handler selected a subprotocol that the client did not offer.", "Select one of the subprotocols in the request of the handler."),
    help(ErrorCode::HubEventHandlerFailed, "-", "event handler failed", "The connect handler did not respond in time, is unreachable, does not permit the origin of the gateway, or responded with a status or a body that is not permitted. The log of the gateway contains the reason.", "Check the event handler; it must respond to connect with 204, or 200 with a valid JSON object."),
    help(ErrorCode::HubConnectRefused, "-", "refused by the connect handler", "The connect handler responded with 4xx. Its status and its body are the response.", "See the event handler."),
    help(ErrorCode::HubInvalidRequest, "-", "invalid parameter of the data plane", "A parameter of the data plane is missing or out of its range. The detail names it.", "Correct the request; official libraries send valid ones."),
    help(ErrorCode::HubUnknownOperation, "-", "unknown operation of the data plane", "The data plane has no operation with this path (404) or this method (405).", "Correct the path or the method; docs/realtime.md lists the operations."),
    help(ErrorCode::HubInvalidFilter, "-", "invalid filter", "The filter is not a valid boolean expression, or is too long. The message contains the position.", "Correct the filter."),
    help(ErrorCode::HubInvalidPayload, "-", "invalid payload", "The body of a message has an unsupported type, is malformed (400), or is larger than 1 MiB (413).", "Send text/plain, application/json or application/octet-stream."),
    help(ErrorCode::SignalRIdMissing, "-", "request without a connection", "A request of a SignalR transport has no parameter id. Only a WebSocket may be opened without one.", "Negotiate first, and send the connection token as id."),
    help(ErrorCode::SignalRConnectionNotFound, "-", "unknown SignalR connection", "The connection ended or was never negotiated, the affinity tag of its token is missing or invalid, or the instance that had it is not reachable or not configured any more.", "None: clients negotiate again. If it happens often, compare SignalROptions.Key of all gateways, and see margay_signalr_affinity_total."),
    help(ErrorCode::SignalRTransportMismatch, "-", "wrong transport of a SignalR connection", "The connection uses another transport (400), has no request of this method (405), or already has a WebSocket or an event stream (409).", "Use one transport for one connection; negotiate again for another one."),
    help(ErrorCode::HubBackplaneUnavailable, "-", "other nodes not reachable", "The operation concerns other nodes, and the shared state is unreachable, or a node did not respond within 2 seconds. The detail names the nodes.", "Check Redis and the nodes; local delivery continues meanwhile."),
    help(ErrorCode::AgentUnknown, "NR", "agent without an entry", "No entry of Tunnels.Agents fits the id of the agent.", "Add the id to Tunnels.Agents, or a pattern that ends with * and fits it."),
    help(ErrorCode::AgentDisabled, "-", "agent disabled", "The entry of the agent has Enabled false.", "Set Enabled to true, or remove it."),
    help(ErrorCode::AgentOffline, "UH", "agent not connected", "The agent has no connection to this gateway.", "Start `margay agent` next to the service, and read its line on standard error. GET /agents lists who is connected. Tunnels.Limits.WaitForAgent lets requests wait for an agent."),
    help(ErrorCode::AgentService, "UH", "service not offered", "The agent is connected and does not offer the service, or Services of its entry does not allow it.", "Start the agent with --service NAME=TARGET, and list the name in Services."),
    help(ErrorCode::AgentAccess, "-", "caller not allowed", "Connect of the agent does not allow the caller.", "Add policy:NAME, sub:VALUE, routes or * to Connect of the agent."),
    help(ErrorCode::AgentConnect, "UF", "service not reachable", "The agent could not connect to its service; the detail has its reason.", "Check that the service runs, and the target in --service of the agent."),
    help(ErrorCode::AgentConnectTimeout, "UF", "service not reachable in time", "The agent did not connect to its service within Tunnels.Limits.ConnectTimeout.", "Check the service and the network of the agent, or raise ConnectTimeout."),
    help(ErrorCode::AgentStreamLimit, "UO", "too many streams", "The agent has MaxStreamsPerAgent open streams, more new streams than NewStreamsPerSecond, or all agents have MaxStreams.", "Raise the limit in Tunnels.Limits or in Limits of the agent."),
    help(ErrorCode::AgentInstance, "-", "16 connections of one instance", "The process of the agent has 16 connections to this gateway already.", "Lower --connections of the agent."),
    help(ErrorCode::AgentUpgrade, "-", "no upgrade requested", "The service Agents accepts upgrades to margay-agent/1 and margay-connect/1, or a WebSocket with their subprotocols.", "Use `margay agent` or `margay connect`. A proxy in front may remove Upgrade: use --transport websocket."),
    help(ErrorCode::AgentRequest, "-", "malformed handshake", "The fields Margay-Agent or Margay-Instance are missing or malformed.", "Use `margay agent`."),
    help(ErrorCode::LimitAgents, "UO", "too many agents", "As many agents are connected as Tunnels.Limits.MaxAgents allows.", "Raise MaxAgents."),
    help(ErrorCode::LimitProofs, "RL", "too many wrong proofs", "The address presented ten wrong proofs of identity within a minute.", "Check the keys of the agents at this address; after a minute they may try again."),
    help(ErrorCode::DeviceNotFound, "NR", "device without an entry", "No entry of Tunnels.Agents fits the device of a request for a device stream.", "Add the device to Tunnels.Agents, or a pattern that fits it."),
    help(ErrorCode::DeviceOffline, "UH", "device not connected", "The device is not connected over MQTT, or has not subscribed to requests for streams, within the connect timeout.", "Check the connection of the device; a device must subscribe to $iothub/streams/POST/#."),
    help(ErrorCode::DeviceTimeout, "UT", "no answer of the device", "The device did not accept or refuse the stream within the response timeout.", "Check the device, or raise the timeout of the request."),
    help(ErrorCode::DeviceDisabled, "-", "device disabled", "The entry of the device has Enabled false.", "Set Enabled to true, or remove it."),
    help(ErrorCode::DeviceThrottled, "RL", "too many device streams", "The device has too many new streams per second or too many open streams, or all bridges are in use.", "Raise NewStreamsPerSecond, MaxStreamsPerAgent or MaxStreams in Tunnels.Limits."),
    help(ErrorCode::DeviceRequest, "-", "invalid request for a stream", "The name of the stream or a timeout is not valid.", "A name has 1 to 128 letters, digits and ._~-; a timeout is a number of seconds from 0 to 300."),
    help(ErrorCode::BridgeToken, "-", "wrong bridge token", "The token of the WebSocket connection is not one of the bridge, or was used before.", "Use the token of the response or of the request to the device, once."),
    help(ErrorCode::BridgeNotFound, "NR", "unknown bridge", "The bridge does not exist: it has ended, the request was withdrawn, or its time is over.", "Request the stream again."),
    help(ErrorCode::GatewayDraining, "-", "gateway drains before shutdown", "The gateway is shutting down and drains its connections.", "Send the request to another instance; /ready returns 503 meanwhile."),
    help(ErrorCode::GatewayInternal, "-", "bug in the gateway", "An internal error occurred in the gateway.", "This is a bug in margay: report it with the log of that time."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
    const TABLE: &str = "| code | status | Envoy flag | meaning |\n|---|---|---|---|\n";

    /// `UPDATE=1 cargo test --lib error_codes` generates everything after the introduction of the page.
    #[test]
    fn the_page_of_error_codes_is_up_to_date() {
        let page = std::fs::read_to_string(FILE).unwrap();
        let (introduction, _) = page.split_once(TABLE).expect("the table of codes");
        let mut text = format!("{introduction}{TABLE}");
        for help in CODE_HELP {
            let (name, status) = (help.code.name(), help.code.status(false));
            writeln!(text, "| `{name}` | {status} | {} | {} |", help.envoy_flag, help.summary).unwrap();
        }
        for help in CODE_HELP {
            let (name, title, status) = (help.code.name(), help.code.title(), help.code.status(false));
            let (meaning, cure) = (help.meaning, help.cure);
            write!(text, "\n## {name}\n\n{title} ({status}). {meaning} {cure}\n").unwrap();
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(FILE, &text).unwrap();
        }
        assert!(
            std::fs::read_to_string(FILE).unwrap() == text,
            "docs/errors.md is out of date: UPDATE=1 cargo test --lib error_codes"
        );
    }

    #[test]
    fn every_code_has_a_page_in_the_order_of_the_registry() {
        let documented: Vec<_> = CODE_HELP.iter().map(|help| help.code).collect();
        assert_eq!(documented, ErrorCode::ALL);
        for help in CODE_HELP {
            assert!(!help.meaning.is_empty() && !help.cure.is_empty(), "{}", help.code.name());
        }
    }

    #[test]
    fn a_page_contains_status_fault_flag_meaning_and_cure() {
        let help = CODE_HELP.iter().find(|help| help.code == ErrorCode::BackendTimeout).expect("a page");
        let page = write_page(help);
        for part in ["504 (503 under Ocelot)", "fault   backend", "Envoy   UT", "Timeout"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(list().lines().count(), ErrorCode::ALL.len());
        assert!(unknown("identity.expird").contains("did you mean \"identity.expired\"?"));
    }
}
