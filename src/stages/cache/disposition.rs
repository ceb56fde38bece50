//! How a stored response may be used for a request (RFC 9111 4.2 and 5.2.1).

use super::{directives::Directives, freshness::Freshness};
use std::time::Instant;

/// How a stored response may be used for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    Fresh,
    /// Stale within the request's `max-stale`.
    Stale,
    /// Stale within `stale-while-revalidate`: served while a background request refreshes it.
    StaleWhileRevalidate,
    Unusable,
}

/// RFC 9111 4.2 and 5.2.1.
pub fn disposition(freshness: &Freshness, request: &Directives, now: Instant) -> Disposition {
    let too_old = request.max_age.is_some_and(|max_age| freshness.age(now).as_secs() > u64::from(max_age));
    if request.no_cache || too_old {
        return Disposition::Unusable;
    }
    if let Some(remaining) = freshness.remaining(now) {
        let enough = request.min_fresh.is_none_or(|min_fresh| remaining.as_secs() >= u64::from(min_fresh));
        return if enough { Disposition::Fresh } else { Disposition::Unusable };
    }
    let staleness = freshness.staleness(now).as_secs();
    if !freshness.must_revalidate
        && request.max_stale.is_some_and(|max_stale| staleness <= u64::from(max_stale))
    {
        return Disposition::Stale;
    }
    if freshness.may_serve_while_revalidating(now) {
        Disposition::StaleWhileRevalidate
    } else {
        Disposition::Unusable
    }
}
