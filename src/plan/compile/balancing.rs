//! `LoadBalancerOptions` → a balancer with all that it needs.

use crate::backend::balance::{HashOn, Keeps, Sticky};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::plan::blueprint::BalancerKind;
use crate::plan::check::{Outcome, Wrong, values};
use crate::plan::inherit::Balancing;
use std::time::Duration;

/// Balancers by their exact names.
const BALANCERS: [&str; 8] =
    ["NoLoadBalancer", "RoundRobin", "LeastConnection", STICKY, "LeastRequest", "PeakEwma", "Random", HASH];
const STICKY: &str = "CookieStickySessions";
const HASH: &str = "ConsistentHash";

/// The cookie of sessions, unless the configuration says otherwise: the application's own in ASP.NET Core, and ours.
const COOKIE: &str = ".AspNetCore.Session";
const OWN_COOKIE: &str = "MargayEndpoint";

/// How an endpoint is chosen, and where that is written; none: nothing is.
pub fn balancer(
    options: &Balancing,
    ocelot: bool,
    out: &mut Diagnostics,
) -> Option<(Span, Result<BalancerKind, Wrong>)> {
    let kind = options.kind.as_ref();
    out_of_place(options, kind.map_or("", |kind| kind.as_str()), out);
    let kind = kind?;
    let read = match kind.as_str() {
        "NoLoadBalancer" => Ok(BalancerKind::First),
        "RoundRobin" => Ok(BalancerKind::RoundRobin),
        "LeastConnection" => Ok(BalancerKind::LeastConnection),
        "LeastRequest" => Ok(BalancerKind::LeastRequest),
        "PeakEwma" => Ok(BalancerKind::PeakEwma),
        "Random" => Ok(BalancerKind::Random),
        HASH => Ok(BalancerKind::ConsistentHash(hash_on(options.hash_on.as_ref(), out))),
        STICKY => Ok(sticky(options, ocelot, out)),
        _ => Err(unknown(kind)),
    };
    Some((kind.span, read))
}

fn unknown(kind: &str) -> Wrong {
    let message = format!("there is no load balancer \"{kind}\"");
    let known = format!("the load balancers are {}", suggest::list(&BALANCERS));
    Wrong::new(codes::UNKNOWN_BALANCER, Outcome::Answers(500), message)
        .meant(suggest::nearest(kind, BALANCERS))
        .help(known)
}

/// Settings of our own that another balancer has.
fn out_of_place(options: &Balancing, kind: &str, out: &mut Diagnostics) {
    let settings = [
        ("SetCookie", STICKY, options.set_cookie.as_ref().map(|set| set.span)),
        ("HashOn", HASH, options.hash_on.as_ref().map(|set| set.span)),
    ];
    for (setting, of, span) in settings {
        if let Some(span) = span.filter(|_| kind != of) {
            let message = format!("{setting} is a setting of {of}");
            out.error(codes::BALANCER_SETTING, span, message)
                .help(format!("write \"Type\": \"{of}\", or leave it out"));
        }
    }
}

fn hash_on(written: Option<&Spanned<String>>, out: &mut Diagnostics) -> HashOn {
    let Some(written) = written else { return HashOn::Address };
    let read = HashOn::parse(written);
    let sound = match &read {
        Some(HashOn::Header(name) | HashOn::Cookie(name)) => values::is_token(name),
        Some(_) => true,
        None => false,
    };
    if !sound {
        out.error(codes::BAD_HASH_KEY, written.span, format!("HashOn \"{}\" names nothing", written.value))
            .help("write \"IP\", \"Header:NAME\", \"Cookie:NAME\" or \"Path:PLACEHOLDER\"");
    }
    read.unwrap_or(HashOn::Address)
}

/// Under Ocelot sessions are kept as there; outside it a session that is of no use any more moves.
fn sticky(options: &Balancing, ocelot: bool, out: &mut Diagnostics) -> BalancerKind {
    let own = options.set_cookie.as_ref().is_some_and(|set| set.value);
    let cookie = options.key.as_ref().map_or(if own { OWN_COOKIE } else { COOKIE }, |key| key.as_str());
    if let Some(key) = options.key.as_ref().filter(|key| !values::is_token(key)) {
        let message = format!("Key \"{}\" is not the name of a cookie", key.value);
        let result = Outcome::Does("no client carries it, and all go to one address");
        Wrong::new(codes::BAD_SESSION, result, message).report(out, ocelot, key.span);
    }
    let expiry = options.expiry.as_ref();
    if let Some(expiry) = expiry.filter(|expiry| expiry.value <= 0) {
        let message = format!("sessions expire after {} milliseconds", expiry.value);
        Wrong::new(codes::BAD_SESSION, Outcome::Does("every request takes its turn"), message)
            .help("write a number of milliseconds greater than zero, or leave it out for 20 minutes")
            .report(out, ocelot, expiry.span);
        return BalancerKind::RoundRobin;
    }
    let keeps = match (own, ocelot) {
        (true, _) => Keeps::Cookie,
        (false, true) => Keeps::Ocelot,
        (false, false) => Keeps::Sessions,
    };
    let expiry = expiry.and_then(|ms| u64::try_from(ms.value).ok()).map(Duration::from_millis);
    BalancerKind::Sticky(Sticky { cookie: cookie.into(), expiry, keeps })
}
