//! `margay help why`: a page for every `why` of the vocabulary: what it means, and what to do.

use super::{Exit, output};
use crate::{
    config::suggest,
    pipeline::error::{ErrorCode, Fault},
};

/// Prints one page, or the list of all.
pub fn run(name: Option<&str>) -> Exit {
    let Some(name) = name else {
        output::write_stdout(&list());
        return Exit::Done;
    };
    match ErrorCode::ALL.iter().find(|why| why.name() == name) {
        Some(why) => {
            output::write_stdout(&write_page(*why));
            Exit::Done
        }
        None => Exit::usage(&unknown(name)),
    }
}

fn unknown(name: &str) -> String {
    let near = suggest::closest_match(name, ErrorCode::ALL.iter().map(|why| why.name()));
    let hint =
        near.map_or("`margay help why` lists all".to_owned(), |near| format!("did you mean \"{near}\"?"));
    format!("there is no why \"{name}\"; {hint}")
}

fn list() -> String {
    let line = |why: &ErrorCode| format!("{:<26} {}  {}\n", why.name(), why.status(false), why.title());
    ErrorCode::ALL.iter().map(line).collect()
}

fn write_page(why: ErrorCode) -> String {
    let (meaning, cure) = explanation(why);
    let (ours, theirs) = (why.status(false), why.status(true));
    let status = if ours == theirs { ours.to_string() } else { format!("{ours} ({theirs} under Ocelot)") };
    let fault = match why.fault() {
        Fault::Client => "the client's",
        Fault::Backend => "the service's",
        Fault::Gateway => "the gateway's",
    };
    format!("{}: {}\n\nstatus  {status}\nfault   {fault}\n\n{meaning}\n\n{cure}\n", why.name(), why.title())
}

/// What it means, and what to do about it; a test finds out when one is missing.
fn explanation(why: ErrorCode) -> (&'static str, &'static str) {
    CODE_HELP.iter().find(|(of, ..)| *of == why).map_or(("", ""), |(_, meaning, cure)| (meaning, cure))
}

#[rustfmt::skip]
static CODE_HELP: &[(ErrorCode, &str, &str)] = &[
    (ErrorCode::RequestMalformed, "The bytes break a rule of HTTP/1.1 that could be read in two ways, so they are not forwarded. The detail names the rule.", "Mend the client. The connection is closed, because nobody can say where its next request begins."),
    (ErrorCode::RequestVersion, "The request line names a protocol version other than HTTP/1.0 or HTTP/1.1.", "Let the client speak HTTP/1.1."),
    (ErrorCode::RequestMethod, "The method is one that a gateway does not serve: CONNECT, or TRACE that ends here.", "Ask the service directly if you must."),
    (ErrorCode::RequestCoding, "The body has a transfer coding besides chunked.", "Send the body plain or chunked; compress it with Content-Encoding."),
    (ErrorCode::RequestSwitch, "The client wants to open a WebSocket on a path that several services answer together (Aggregates); there is no one to open it with.", "Open it on the route of the service itself."),
    (ErrorCode::RequestFrame, "A client sent frames that break the rules of HTTP/2 (RFC 9113). Its connection was ended with the error code of the rule.", "It is the client that must be mended: the debug log has its address."),
    (ErrorCode::ProxyHeader, "A trusted proxy connected to a listener with ProxyProtocol and did not begin with a proper PROXY header (version 1 or 2). The connection was closed without an answer; the debug log says what was wrong.", "Let the proxy send the PROXY protocol, or set ProxyProtocol.Mode to Optional for proxies that do not always."),
    (ErrorCode::ProxyLate, "A trusted proxy connected to a listener with ProxyProtocol and did not send the whole header in time. The connection was closed without an answer.", "Look whether the proxy sends the header at once; ProxyProtocol.Timeout is the time for it."),
    (ErrorCode::ProxyUntrusted, "Somebody who is not in ProxyProtocol.Trusted connected to a listener where the PROXY protocol is required. The connection was closed without an answer.", "If it is one of your proxies, add its address to Trusted; the debug log has it. If clients may come directly too, set Mode to Optional."),
    (ErrorCode::RequestFlood, "A client over HTTP/2 reset streams, or sent frames that carry nothing, more often in one second than Limits allow. Its connection was ended.", "If the client means well, raise Limits.MaxStreamResetsPerSecond or Limits.MaxControlFramesPerSecond."),
    (ErrorCode::RequestLength, "The service speaks HTTP/1.0, which has to know the length of a body, and the client sent it chunked.", "Send Content-Length, or set DownstreamHttpVersion to 1.1."),
    (ErrorCode::RequestLine, "The request line is longer than Limits.MaxRequestLineSize.", "Put long values into the body, or raise the limit."),
    (ErrorCode::RequestHeaders, "There are more header fields, or more bytes of them, than Limits or the route's RequestSizeOptions allow.", "Look for cookies that grow, or raise the limit."),
    (ErrorCode::RequestTimeout, "The head was not complete within Limits.RequestHeadersTimeout, or the body stood still for Limits.BodyIdleTimeout.", "Look at the client's network; a slow attack looks the same."),
    (ErrorCode::RequestBody, "The body is larger than Limits.MaxRequestBodySize or the route's own limit.", "Send less, or raise the limit of the route."),
    (ErrorCode::RequestMisdirected, "The name that the client asked for when TLS began (SNI) and the Host of the request have different certificates.", "Clients open another connection for that host, as browsers do by themselves. A client that sets Host by hand must set the name of the connection too."),
    (ErrorCode::RouteNone, "No route takes this method, host, path and headers.", "`margay explain METHOD URL` shows which routes came near and why they did not match."),
    (ErrorCode::RouteBroken, "The route cannot be served as it is configured; Ocelot starts with such a file and answers 500.", "`margay check` says what is wrong with the route."),
    (ErrorCode::RouteUnserved, "The route cannot be served as it is configured; Ocelot starts with such a file and answers 404.", "`margay check` says what is wrong with the route."),
    (ErrorCode::AccessAddress, "The client's address is on IPBlockedList, or not on IPAllowedList.", "Behind a proxy name it in ForwardedHeaders.TrustedProxies, so that the client's own address counts; then look at SecurityOptions."),
    (ErrorCode::AccessOrigin, "A web page asks from an origin that CorsOptions does not name.", "Add the origin to CorsOptions, scheme and port included."),
    (ErrorCode::LimitExceeded, "The caller made more requests than RateLimitOptions admits.", "Come again after Retry-After, or raise the limit. PartitionBy says whose requests are counted together."),
    (ErrorCode::LimitClient, "RateLimitOptions tells clients apart by a header that the request does not have.", "Send the header that ClientIdHeader names, or partition by something else."),
    (ErrorCode::LimitTunnels, "The client address has as many WebSocket connections open as Limits.MaxTunnelsPerClient allows.", "Close some, or raise the limit."),
    (ErrorCode::LimitConcurrency, "As many requests as ConcurrencyLimitOptions allows are under way, and the queue is full.", "Look why the service is slow, or raise the limit."),
    (ErrorCode::LimitQueue, "The request waited in the queue of ConcurrencyLimitOptions for as long as it may.", "Look why the service is slow, or raise the limit."),
    (ErrorCode::AccessScope, "The token is valid and has none of the AllowedScopes of the route.", "Ask the identity provider for the scope; the detail names those that the route accepts."),
    (ErrorCode::AccessClaim, "A claim that RouteClaimsRequirement asks for, or that a transformation reads, is missing or different.", "Look at the claims of the token; names and values are compared exactly."),
    (ErrorCode::AccessExpression, "RouteClaimsExpression is false for this caller, or could not be decided, for example because a claim is missing.", "`margay explain` with the same headers shows the condition."),
    (ErrorCode::IdentityMissing, "The route wants to know who calls, and the request carries nothing that one of its schemes reads.", "Send what the WWW-Authenticate field of the answer asks for."),
    (ErrorCode::IdentityMalformed, "What the request carries cannot be read as a token, a key or a password.", "Send it as it was issued: nothing cut off, nothing encoded twice."),
    (ErrorCode::IdentityAlgorithm, "The token names an algorithm that the scheme does not allow. The key decides what is allowed, never the token.", "Set Algorithms of the scheme, if the issuer really uses that one."),
    (ErrorCode::IdentityCritical, "The token demands an extension (crit) that nobody here understands.", "Ask the issuer for tokens without it."),
    (ErrorCode::IdentityType, "The token's typ is not one that the scheme takes: it may be an identity token in the place of an access token.", "Send the access token, or set the types of the scheme."),
    (ErrorCode::IdentityKey, "No key of the scheme fits the token's kid, also after the keys were fetched again.", "Look whether the token comes from the issuer whose keys are configured."),
    (ErrorCode::IdentitySignature, "The signature does not fit: the token was changed, or signed with another key.", "Look whether the token comes from the issuer whose keys are configured."),
    (ErrorCode::IdentityExpired, "The token's time is over, ClockSkew included.", "Get a new one; if it is new, compare the clocks."),
    (ErrorCode::IdentityEarly, "The token's time has not begun, ClockSkew included.", "Compare the clocks of issuer and gateway."),
    (ErrorCode::IdentityIssuer, "The token's iss is not the Issuer of the scheme.", "They are compared exactly; a slash at the end counts."),
    (ErrorCode::IdentityAudience, "The token's aud does not contain the Audience of the scheme: it was issued for somebody else.", "Ask the issuer for a token for this audience."),
    (ErrorCode::IdentityUnknown, "There is no such API key, or no such name and password.", "Look whether the key was withdrawn, and in which header or parameter the scheme reads it."),
    (ErrorCode::IdentityProvider, "The keys of the issuer could never be fetched, so nothing can be said about its tokens.", "Look at JwksUri or Authority and at the log; margay goes on trying. Once it had keys, it goes on with them."),
    (ErrorCode::IdentityBusy, "More passwords wait to be checked than can be, and checking is slow on purpose.", "Come again; if it goes on, somebody is guessing passwords."),
    (ErrorCode::CacheOnly, "The request says Cache-Control: only-if-cached, and nothing is stored that may be given without asking the service.", "Ask without that directive."),
    (ErrorCode::ClientGone, "The client closed its connection before the answer was complete. Nobody sees this answer; it stands in the access log.", "Look at the client's own time limits, and at ms_backend in the access log."),
    (ErrorCode::ClientLimit, "One address holds more connections than Limits.MaxConnectionsPerClient.", "Let the client keep connections open and use them again, or raise the limit."),
    (ErrorCode::GatewayLimit, "The process holds as many connections as Limits.MaxConcurrentConnections or its descriptor limit allows.", "Raise the descriptor limit of the process, or add an instance."),
    (ErrorCode::BackendNone, "The cluster of the route has no endpoint.", "Look at DownstreamHostAndPorts."),
    (ErrorCode::BackendName, "The host name of the service has no address.", "Look at the name and at the resolver of this machine; the detail names it."),
    (ErrorCode::BackendConnect, "No connection to the service: refused or unreachable. The detail names the address.", "Look whether the service runs and listens there."),
    (ErrorCode::BackendConnectTimeout, "The service did not accept a connection within Limits.ConnectTimeout.", "Look for a firewall that drops packets, or a service that is overwhelmed."),
    (ErrorCode::BackendCertificate, "The certificate of the service is expired, is for another name, or is signed by somebody who is not trusted. The detail says which. Nothing was sent to it.", "Renew the certificate, or name its authority to the system. DangerousAcceptAnyServerCertificateValidator is for trying things out only."),
    (ErrorCode::BackendTls, "The service was reached, and no TLS connection came about: it speaks none, or no version or cipher that is safe, or it refused. The detail says which.", "Look whether DownstreamScheme and the port fit the service, and at its log."),
    (ErrorCode::BackendSend, "The service closed the connection before the request was sent whole, and did not answer.", "Look at the service's log for that moment; some services close like this when a body is too large for them."),
    (ErrorCode::BackendReset, "The service closed the connection before it answered. A request that may be repeated was repeated once.", "Look at the service's log for that moment; a crash looks like this."),
    (ErrorCode::BackendTimeout, "The head of the answer did not come within the Timeout of the route.", "Look why the service is slow, or raise Timeout of the route."),
    (ErrorCode::BackendBreaker, "The service failed as often as QoSOptions allows; until the time in Retry-After is over nobody is asked, then one request tries.", "Look why the service fails; margay_breaker_total counts circuits that open and close."),
    (ErrorCode::BackendBusy, "As many connections to the service as MaxConnectionsPerServer allows are in use; the queue for them is full, or the request waited in it for as long as it may.", "Look why the service is slow, or raise MaxConnectionsPerServer or ConnectionQueueLimit of HttpHandlerOptions."),
    (ErrorCode::BackendMalformed, "The service's answer breaks a rule of HTTP/1.1. The detail names the rule.", "Mend the service; what could be read in two ways is not passed on."),
    (ErrorCode::BackendSwitch, "The service answered 101 to a request that asked for no other protocol.", "Mend the service."),
    (ErrorCode::BackendBody, "The head of the answer was passed on and its body ended early or stood still. The client sees a broken body.", "Look at the service's log for that moment."),
    (ErrorCode::AggregatePart, "A part of an aggregate that is not optional answered with an error status, with something that is not JSON, or with more than it may; or its values led to more calls than it may make. The detail names the part. A status of 400 to 499 is passed on as the status of the whole answer.", "Ask the route of the part alone; or write \"Optional\": true for the part in RouteKeysConfig."),
    (ErrorCode::AggregateSize, "The parts of an aggregate together are longer than its MaxSize.", "Ask for less, or raise MaxSize of the aggregate."),
    (ErrorCode::AggregateTemplate, "The template of the aggregate asked for more work than it may, or wrote something that is not JSON. The detail names the line.", "Try the template on the answers of the parts; a value is written as JSON already, quotes included."),
    (ErrorCode::RequestAccept, "The client's Accept takes none of the media types that the aggregate can answer with.", "Ask for application/json, or add the media type to Formats of the aggregate."),
    (ErrorCode::GatewayDraining, "The gateway is shutting down.", "Ask another instance; /ready answers 503 meanwhile."),
    (ErrorCode::GatewayFault, "Something went wrong inside of the gateway.", "This is a mistake of margay's: please report it with the log of that moment."),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE=1 cargo test --lib why` writes the page anew.
    #[test]
    fn the_page_of_all_whys_is_up_to_date() {
        let mut text = "# ErrorCode the gateway answered itself\n\nThe `why` of a problem, of the access log and of `margay_refused_total`; `margay help why NAME` prints one of these.\n".to_owned();
        for why in ErrorCode::ALL {
            let (meaning, cure) = explanation(*why);
            text += &format!(
                "\n## {}\n\n{} ({}). {meaning} {cure}\n",
                why.name(),
                why.title(),
                why.status(false)
            );
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/why.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(file, &text).unwrap();
        }
        assert!(
            std::fs::read_to_string(file).unwrap() == text,
            "docs/why.md is behind: UPDATE=1 cargo test --lib why"
        );
    }

    #[test]
    fn a_page_says_status_fault_meaning_and_cure() {
        let page = write_page(ErrorCode::BackendTimeout);
        assert!(
            page.contains("504 (503 under Ocelot)")
                && page.contains("the service's")
                && page.contains("Timeout")
        );
        assert_eq!(list().lines().count(), ErrorCode::ALL.len());
        for why in ErrorCode::ALL {
            assert!(
                !explanation(*why).0.is_empty() && !explanation(*why).1.is_empty(),
                "{} has no page",
                why.name()
            );
        }
        assert!(unknown("identity.expird").contains("did you mean \"identity.expired\"?"));
    }
}
