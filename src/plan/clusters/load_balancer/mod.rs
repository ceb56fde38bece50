//! `LoadBalancerOptions` → a balancer and its settings.
//!
//! Envoy's `lb_policy`, nginx's `least_conn`, `hash` and `sticky`, YARP's load balancing policies. Entry point:
//! [`balancer`], called by `plan::compile::cluster` for each cluster. The result is plain settings; selection is in
//! `backend::balance`, whose counters and sessions outlive a reload under the key of the cluster.

mod options;

pub use options::{GlobalLoadBalancerOptions, LoadBalancerOptions};

use crate::backend::balance::{HashPolicy, SessionStore, Sticky};
use crate::base::bytes::is_token;
use crate::config::values::non_blank;
use crate::config::{Diagnostics, OcelotBehavior, OcelotTolerated, Span, Spanned, codes, suggest};
use crate::plan::blueprint::BalancerKind;
use std::time::Duration;

/// The load balancers by their exact names.
const BALANCERS: [&str; 8] = [
    "NoLoadBalancer",
    "RoundRobin",
    "LeastConnection",
    STICKY_BALANCER,
    "LeastRequest",
    "PeakEwma",
    "Random",
    HASH_BALANCER,
];
const STICKY_BALANCER: &str = "CookieStickySessions";
const HASH_BALANCER: &str = "ConsistentHash";

/// Default names of the session cookie: ASP.NET Core's session cookie, and ours.
const OCELOT_COOKIE: &str = ".AspNetCore.Session";
const DEFAULT_COOKIE: &str = "MargayEndpoint";

/// The balancer, and where it is configured; no origin: the default.
pub fn balancer(
    options: &LoadBalancerOptions,
    ocelot: bool,
    diagnostics: &mut Diagnostics,
) -> Option<(Span, Result<BalancerKind, OcelotTolerated>)> {
    let kind = non_blank(&options.kind);
    report_unused_settings(options, kind.map_or("", |kind| kind.as_str()), diagnostics);
    let kind = kind?;
    let read = match kind.as_str() {
        "NoLoadBalancer" => Ok(BalancerKind::NoLoadBalancer),
        "RoundRobin" => Ok(BalancerKind::RoundRobin),
        "LeastConnection" => Ok(BalancerKind::LeastConnection),
        "LeastRequest" => Ok(BalancerKind::LeastRequest),
        "PeakEwma" => Ok(BalancerKind::PeakEwma),
        "Random" => Ok(BalancerKind::Random),
        HASH_BALANCER => Ok(BalancerKind::ConsistentHash(hash_on(non_blank(&options.hash_on), diagnostics))),
        STICKY_BALANCER => Ok(sticky(options, ocelot, diagnostics)),
        _ => Err(unknown(kind)),
    };
    Some((kind.span, read))
}

fn unknown(kind: &str) -> OcelotTolerated {
    let message = format!("unknown load balancer \"{kind}\"");
    let known = format!("expected {}", suggest::one_of(&BALANCERS));
    OcelotTolerated::new(codes::UNKNOWN_BALANCER, OcelotBehavior::Status(500), message)
        .did_you_mean(suggest::closest_match(kind, BALANCERS))
        .help(known)
}

/// Reports settings of our own that belong to another balancer.
fn report_unused_settings(options: &LoadBalancerOptions, kind: &str, diagnostics: &mut Diagnostics) {
    let settings = [
        ("SetCookie", STICKY_BALANCER, options.set_cookie.as_ref().map(|set| set.span)),
        ("Scope", STICKY_BALANCER, non_blank(&options.scope).map(|set| set.span)),
        ("HashOn", HASH_BALANCER, non_blank(&options.hash_on).map(|set| set.span)),
    ];
    for (setting, of, span) in settings {
        if let Some(span) = span.filter(|_| kind != of) {
            let message = format!("{setting} has no effect: it is a setting of {of}");
            diagnostics
                .error(codes::BALANCER_SETTING, span, message)
                .help(format!("set \"Type\": \"{of}\", or remove {setting}"));
        }
    }
}

fn hash_on(value_options: Option<&Spanned<String>>, diagnostics: &mut Diagnostics) -> HashPolicy {
    let Some(value_options) = value_options else { return HashPolicy::Address };
    let read = HashPolicy::parse(value_options);
    let sound = match &read {
        Some(HashPolicy::Header(name) | HashPolicy::Cookie(name)) => is_token(name.as_bytes()),
        Some(_) => true,
        None => false,
    };
    if !sound {
        diagnostics
            .error(
                codes::BAD_HASH_KEY,
                value_options.span,
                format!("invalid HashOn \"{}\"", value_options.value),
            )
            .help("expected \"IP\", \"Header:NAME\", \"Cookie:NAME\" or \"Path:PLACEHOLDER\"");
    }
    read.unwrap_or(HashPolicy::Address)
}

/// Whether all gateways know the sessions.
fn is_shared(options: &LoadBalancerOptions, sets_cookie: bool, diagnostics: &mut Diagnostics) -> bool {
    let Some(scope) = non_blank(&options.scope) else { return false };
    match scope.trim().to_ascii_lowercase().as_str() {
        "node" => false,
        "shared" if sets_cookie => {
            diagnostics
                .error(codes::BALANCER_SETTING, scope.span, "Scope has no effect with SetCookie")
                .help("remove it: every gateway with the same endpoints accepts the cookie");
            false
        }
        "shared" => true,
        _ => {
            let message = format!("unknown Scope \"{}\"", scope.value);
            let diagnostic = diagnostics.error(codes::UNKNOWN_CHOICE, scope.span, message);
            diagnostic.help("expected \"Node\" or \"Shared\"");
            false
        }
    }
}

/// Under Ocelot sessions behave as in Ocelot; in our mode a session whose endpoint is unavailable moves.
fn sticky(options: &LoadBalancerOptions, ocelot: bool, diagnostics: &mut Diagnostics) -> BalancerKind {
    let own = options.set_cookie.as_ref().is_some_and(|set| set.value);
    let cookie =
        non_blank(&options.key).map_or(if own { DEFAULT_COOKIE } else { OCELOT_COOKIE }, |key| key.as_str());
    if let Some(key) = non_blank(&options.key).filter(|key| !is_token(key.as_bytes())) {
        let message = format!("invalid cookie name \"{}\" in Key", key.value);
        let result =
            OcelotBehavior::Effect("no client sends the cookie, and all requests go to one endpoint");
        OcelotTolerated::new(codes::BAD_SESSION, result, message).report(diagnostics, ocelot, key.span);
    }
    let expiry = options.expiry.as_ref();
    if let Some(expiry) = expiry.filter(|expiry| expiry.value <= 0) {
        let message = format!("invalid Expiry {}", expiry.value);
        OcelotTolerated::new(
            codes::BAD_SESSION,
            OcelotBehavior::Effect("every request is balanced separately"),
            message,
        )
        .help("must be greater than 0 milliseconds; the default is 20 minutes")
        .report(diagnostics, ocelot, expiry.span);
        return BalancerKind::RoundRobin;
    }
    let store = match (own, is_shared(options, own, diagnostics), ocelot) {
        (true, ..) => SessionStore::Cookie,
        (false, true, _) => SessionStore::Shared,
        (false, false, true) => SessionStore::Unbounded,
        (false, false, false) => SessionStore::Bounded,
    };
    let expiry = expiry.and_then(|ms| u64::try_from(ms.value).ok()).map(Duration::from_millis);
    BalancerKind::Sticky(Sticky { cookie: cookie.into(), expiry, store })
}
