//! Age, freshness lifetime and permitted staleness of responses (RFC 9111 4.2, RFC 5861). Pure arithmetic: the caller
//! passes all times.

use super::{
    dates,
    directives::{Directives, seconds},
};
use crate::pipeline::head::Head;
use std::time::{Duration, Instant};

/// Longest staleness of responses that are served while the backend is unreachable (RFC 9111 4.2.4).
const MAX_DISCONNECTED_STALENESS: Duration = Duration::from_secs(24 * 3600);
/// Longest heuristic freshness lifetime, in seconds.
const MAX_HEURISTIC_LIFETIME_SECS: i64 = 24 * 3600;
/// How long a stale response with a validator is kept.
const MIN_STORED_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The settings of the route for responses without explicit freshness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The lifetime instead of a heuristic one.
    pub ttl: Option<Duration>,
    /// The same for error responses (400 and above): negative caching.
    pub negative: Option<Duration>,
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
}

/// The freshness of one response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When it was received.
    pub received_at: Instant,
    /// Its age when it was received.
    pub initial: Duration,
    pub lifetime: Duration,
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
    /// Stale responses are never served.
    pub must_revalidate: bool,
    /// `no-cache`: never served without revalidation.
    pub always_revalidate: bool,
    /// The lifetime comes from the response.
    pub explicit: bool,
}

/// A response and its times.
#[derive(Clone, Copy, Debug)]
pub struct ResponseTimes<'a> {
    pub head: &'a Head,
    pub directives: &'a Directives,
    /// A targeted field replaces `Cache-Control` and `Expires`.
    pub targeted: bool,
    /// When the request was sent, and when the response was received.
    pub requested_at: Instant,
    pub received_at: Instant,
    /// `received_at` as seconds since 1970.
    pub now_unix: i64,
}

impl Freshness {
    /// RFC 9111 4.2.1 and 4.2.3.
    pub fn from_response(times: &ResponseTimes, defaults: &Defaults) -> Freshness {
        let ResponseTimes { directives, .. } = times;
        let explicit = explicit_lifetime(times);
        let secs = |n: u32| Duration::from_secs(u64::from(n));
        let must = directives.must_revalidate || directives.proxy_revalidate || directives.no_cache;
        let mentions_staleness =
            directives.stale_while_revalidate.is_some() || directives.stale_if_error.is_some();
        Freshness {
            received_at: times.received_at,
            initial: initial_age(times),
            lifetime: explicit.unwrap_or_else(|| heuristic_lifetime(times, defaults)),
            stale_while_revalidate: directives
                .stale_while_revalidate
                .map_or(defaults.stale_while_revalidate, secs),
            stale_if_error: directives.stale_if_error.map_or(defaults.stale_if_error, secs),
            // `s-maxage` implies `proxy-revalidate`, unless the response allows staleness explicitly.
            must_revalidate: must || directives.s_maxage.is_some() && !mentions_staleness,
            always_revalidate: directives.no_cache,
            explicit: explicit.is_some(),
        }
    }

    /// A fixed lifetime, independent of the response.
    pub fn with_ttl(received_at: Instant, lifetime: Duration) -> Freshness {
        Freshness {
            received_at,
            initial: Duration::ZERO,
            lifetime,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            must_revalidate: true,
            always_revalidate: false,
            explicit: true,
        }
    }

    /// The age of the response (RFC 9111 4.2.3): `Age` when it was received, and the time since.
    pub fn age(&self, now: Instant) -> Duration {
        self.initial + now.saturating_duration_since(self.received_at)
    }

    /// The remaining freshness; `None`: it is stale.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        let remaining = self.lifetime.checked_sub(self.age(now))?;
        (!self.always_revalidate && !remaining.is_zero()).then_some(remaining)
    }

    /// Seconds of freshness left; negative for a stale response.
    pub fn ttl(&self, now: Instant) -> i64 {
        let secs = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        secs(self.lifetime).saturating_sub(secs(self.age(now)))
    }

    /// How long it has been stale.
    pub fn staleness(&self, now: Instant) -> Duration {
        self.age(now).saturating_sub(self.lifetime)
    }

    /// Whether it may be served while a background request revalidates it.
    pub fn may_serve_while_revalidating(&self, now: Instant) -> bool {
        !self.must_revalidate
            && !self.stale_while_revalidate.is_zero()
            && self.staleness(now) <= self.stale_while_revalidate
    }

    /// Whether it may be served instead of an error; `requested` is the `stale-if-error` of the request.
    pub fn may_serve_on_error(&self, now: Instant, requested: Option<u32>) -> bool {
        let requested = Duration::from_secs(u64::from(requested.unwrap_or(0)));
        let max_staleness = self.stale_if_error.max(requested);
        !self.must_revalidate && !max_staleness.is_zero() && self.staleness(now) <= max_staleness
    }

    /// Whether it may be served because the backend is unreachable.
    pub fn may_serve_disconnected(&self, now: Instant) -> bool {
        !self.must_revalidate && self.staleness(now) <= MAX_DISCONNECTED_STALENESS.max(self.stale_if_error)
    }

    /// Whether it can no longer be used and should be removed.
    pub fn is_unusable(&self, now: Instant, validates: bool) -> bool {
        let stale = if self.must_revalidate {
            Duration::ZERO
        } else {
            self.stale_while_revalidate.max(self.stale_if_error).max(Duration::from_secs(3600))
        };
        let retention = if validates { stale.max(MIN_STORED_LIFETIME) } else { stale };
        self.remaining(now).is_none() && self.staleness(now) > retention
    }
}

/// The lifetime in the response; an invalid one is zero.
fn explicit_lifetime(times: &ResponseTimes) -> Option<Duration> {
    let ResponseTimes { directives, head, .. } = times;
    if let Some(time) = directives.s_maxage.or(directives.max_age) {
        return Some(Duration::from_secs(u64::from(time)));
    }
    let expires = head.get(b"expires").filter(|_| !times.targeted)?;
    let until = dates::parse(expires, times.now_unix).unwrap_or(0);
    let from = date(times).unwrap_or(times.now_unix);
    Some(Duration::from_secs(u64::try_from(until.saturating_sub(from)).unwrap_or(0)))
}

fn date(times: &ResponseTimes) -> Option<i64> {
    dates::parse(times.head.get(b"date")?, times.now_unix)
}

/// RFC 9111 4.2.2: a tenth of the time since `Last-Modified`, where the status allows a heuristic.
fn heuristic_lifetime(times: &ResponseTimes, defaults: &Defaults) -> Duration {
    let ResponseTimes { head, directives, .. } = times;
    let allows_guess = allows_heuristic(head.status) || directives.public;
    if !allows_guess {
        return Duration::ZERO;
    }
    if let Some(negative) = defaults.negative.filter(|_| head.status >= 400) {
        return negative;
    }
    if let Some(ttl) = defaults.ttl.filter(|_| head.status < 400) {
        return ttl;
    }
    let modified = head.get(b"last-modified").and_then(|text| dates::parse(text, times.now_unix));
    let from = date(times).unwrap_or(times.now_unix);
    let tenth = modified
        .map_or(0, |modified| (from.saturating_sub(modified) / 10).clamp(0, MAX_HEURISTIC_LIFETIME_SECS));
    Duration::from_secs(tenth.unsigned_abs())
}

/// RFC 9110 15.1: statuses that are cacheable without explicit freshness.
pub fn allows_heuristic(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses whose caching rules are implemented (for `must-understand`, RFC 9111 5.2.2.3).
pub fn knows_status(status: u16) -> bool {
    matches!(status, 200..=205 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

/// RFC 9111 4.2.3; of several ages the first counts, an invalid one is ignored.
fn initial_age(times: &ResponseTimes) -> Duration {
    let apparent = date(times).map_or(0, |date| times.now_unix.saturating_sub(date).max(0));
    let line = times.head.get(b"age").and_then(|line| crate::base::bytes::comma_list(line).next());
    let age = line.and_then(seconds).unwrap_or(0);
    let delay = times.received_at.saturating_duration_since(times.requested_at);
    Duration::from_secs(apparent.unsigned_abs()).max(Duration::from_secs(u64::from(age)) + delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_UNIX: i64 = 784_111_777;
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn freshness_of(status: u16, fields: &[(&str, &str)], defaults: &Defaults) -> Freshness {
        let mut head = Head::response(status, b"");
        fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
        let (directives, targeted) = Directives::for_shared_cache(&head);
        let received = Instant::now() + Duration::from_secs(100);
        let requested = received - Duration::from_secs(2);
        Freshness::from_response(
            &ResponseTimes {
                head: &head,
                directives: &directives,
                targeted,
                requested_at: requested,
                received_at: received,
                now_unix: NOW_UNIX,
            },
            defaults,
        )
    }

    fn lifetime(status: u16, fields: &[(&str, &str)]) -> u64 {
        freshness_of(status, fields, &Defaults::default()).lifetime.as_secs()
    }

    #[test]
    fn the_most_specific_lifetime_counts() {
        let expires = ("Expires", "Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(lifetime(200, &[expires, ("Date", DATE)]), 60);
        assert_eq!(lifetime(200, &[expires]), 60);
        assert_eq!(lifetime(200, &[expires, ("Cache-Control", "max-age=5")]), 5);
        assert_eq!(lifetime(200, &[("Cache-Control", "max-age=5, s-maxage=7")]), 7);
        assert_eq!(lifetime(200, &[("Expires", "0")]), 0);
        assert_eq!(lifetime(200, &[expires, ("CDN-Cache-Control", "foo")]), 0);
    }

    #[test]
    fn the_heuristic_lifetime_is_a_tenth_of_the_content_age() {
        let old = ("Last-Modified", "Sat, 05 Nov 1994 08:49:37 GMT");
        assert_eq!((lifetime(200, &[old]), lifetime(201, &[old]), lifetime(200, &[])), (8640, 0, 0));
        assert_eq!(lifetime(599, &[old, ("Cache-Control", "public")]), 8640);
        assert_eq!(lifetime(200, &[("Last-Modified", "Sat, 05 Nov 1960 08:49:37 GMT")]), 86_400);
        let defaults = Defaults {
            ttl: Some(Duration::from_secs(3)),
            negative: Some(Duration::from_secs(1)),
            ..Defaults::default()
        };
        assert_eq!(freshness_of(200, &[old], &defaults).lifetime.as_secs(), 3);
        assert_eq!(freshness_of(404, &[old], &defaults).lifetime.as_secs(), 1);
        assert_eq!(freshness_of(404, &[("Cache-Control", "max-age=9")], &defaults).lifetime.as_secs(), 9);
    }

    #[test]
    fn the_age_is_the_larger_of_age_and_apparent_age() {
        let age = |fields: &[(&str, &str)]| freshness_of(200, fields, &Defaults::default()).initial.as_secs();
        assert_eq!(age(&[("Age", "30")]), 32);
        assert_eq!(age(&[("Date", "Sun, 06 Nov 1994 08:48:37 GMT"), ("Age", "30")]), 60);
        for (text, secs) in [
            ("7200, 0", 7202),
            ("0, 7200", 2),
            ("abc", 2),
            ("-7200", 2),
            ("7200.0", 2),
            ("4294967296", (1 << 31) + 2),
        ] {
            assert_eq!(age(&[("Age", text)]), secs, "{text}");
        }
    }

    #[test]
    fn staleness_is_limited_by_the_response() {
        let of = |text| freshness_of(200, &[("Cache-Control", text)], &Defaults::default());
        let later = |freshness: &Freshness, secs| freshness.received_at + Duration::from_secs(secs);
        let freshness = of("max-age=10, stale-while-revalidate=5, stale-if-error=20");
        assert!(
            freshness.remaining(later(&freshness, 7)).is_some()
                && freshness.remaining(later(&freshness, 8)).is_none()
        );
        assert!(freshness.may_serve_while_revalidating(later(&freshness, 13)));
        assert!(!freshness.may_serve_while_revalidating(later(&freshness, 14)));
        assert!(
            freshness.may_serve_on_error(later(&freshness, 28), None)
                && !freshness.may_serve_on_error(later(&freshness, 29), None)
        );
        assert!(freshness.may_serve_on_error(later(&freshness, 29), Some(60)));
        for text in ["max-age=1, must-revalidate, stale-if-error=9", "no-cache", "s-maxage=1"] {
            let freshness = of(text);
            let now = later(&freshness, 5);
            assert!(
                !freshness.may_serve_on_error(now, Some(99)) && !freshness.may_serve_disconnected(now),
                "{text}"
            );
        }
        assert!(of("s-maxage=1, stale-if-error=60").may_serve_on_error(later(&of(""), 5), None));
    }

    #[test]
    fn an_entry_is_unusable_after_its_permitted_staleness() {
        let freshness =
            freshness_of(200, &[("Cache-Control", "max-age=10, must-revalidate")], &Defaults::default());
        let now = freshness.received_at + Duration::from_secs(60);
        assert!(
            freshness.is_unusable(now, false)
                && !freshness.is_unusable(now, true)
                && !freshness.is_unusable(freshness.received_at, false)
        );
    }
}
