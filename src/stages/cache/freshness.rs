//! How old an answer is, how long it is fresh, and what may be done with it when it no longer is (RFC 9111 4.2,
//! RFC 5861). Pure arithmetic: all times are given.

use super::{
    dates,
    directives::{Directives, seconds},
};
use crate::pipeline::head::Head;
use std::time::{Duration, Instant};

/// Stale answers are given that long when the service cannot be reached at all (RFC 9111 4.2.4).
const MAX_DISCONNECTED_STALENESS: Duration = Duration::from_secs(24 * 3600);
/// No answer is fresh longer than that because of the age of its content.
const MAX_HEURISTIC_LIFETIME: i64 = 24 * 3600;
/// How long an answer that can be validated is worth its memory once it is stale.
const MIN_STORED_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What the route says about answers that do not say themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Instead of a guess.
    pub ttl: Option<Duration>,
    /// The same for answers that say that there is nothing.
    pub negative: Option<Duration>,
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
}

/// The times of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When it came.
    pub received_at: Instant,
    /// How old it was by then.
    pub initial: Duration,
    pub lifetime: Duration,
    pub stale_while_revalidate: Duration,
    pub stale_if_error: Duration,
    /// Stale answers are not given, whatever else is said.
    pub must_revalidate: bool,
    /// The answer itself allows to be stale for a while.
    pub always_revalidate: bool,
    /// The answer said itself how long it is fresh.
    pub explicit: bool,
}

/// What came, and when.
#[derive(Clone, Copy, Debug)]
pub struct ResponseTimes<'a> {
    pub head: &'a Head,
    pub directives: &'a Directives,
    /// `Cache-Control` and `Expires` do not count: a targeted field takes their place.
    pub targeted: bool,
    /// When the request went out, and when the answer came.
    pub requested_at: Instant,
    pub received_at: Instant,
    /// The same moment, as seconds since 1970.
    pub date_now: i64,
}

impl Freshness {
    /// RFC 9111 4.2.1 and 4.2.3.
    pub fn from_response(arrival: &ResponseTimes, defaults: &Defaults) -> Freshness {
        let ResponseTimes { directives, .. } = arrival;
        let explicit = explicit_lifetime(arrival);
        let secs = |n: u32| Duration::from_secs(u64::from(n));
        let must = directives.must_revalidate || directives.proxy_revalidate || directives.no_cache;
        let said = directives.stale_while_revalidate.is_some() || directives.stale_if_error.is_some();
        Freshness {
            received_at: arrival.received_at,
            initial: initial_age(arrival),
            lifetime: explicit.unwrap_or_else(|| heuristic_lifetime(arrival, defaults)),
            stale_while_revalidate: directives
                .stale_while_revalidate
                .map_or(defaults.stale_while_revalidate, secs),
            stale_if_error: directives.stale_if_error.map_or(defaults.stale_if_error, secs),
            // `s-maxage` means `proxy-revalidate` too, unless the answer itself speaks of being stale.
            must_revalidate: must || directives.s_maxage.is_some() && !said,
            always_revalidate: directives.no_cache,
            explicit: explicit.is_some(),
        }
    }

    /// Fresh for that long from now on, whatever the answer says.
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

    pub fn age(&self, now: Instant) -> Duration {
        self.initial + now.saturating_duration_since(self.received_at)
    }

    /// How long it is still fresh; none: it is stale.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        let left = self.lifetime.checked_sub(self.age(now))?;
        (!self.always_revalidate && !left.is_zero()).then_some(left)
    }

    /// For how long it has been stale.
    pub fn staleness(&self, now: Instant) -> Duration {
        self.age(now).saturating_sub(self.lifetime)
    }

    /// Whether it may be given while it is asked for anew in the background.
    pub fn may_serve_while_revalidating(&self, now: Instant) -> bool {
        !self.must_revalidate
            && !self.stale_while_revalidate.is_zero()
            && self.staleness(now) <= self.stale_while_revalidate
    }

    /// Whether it may be given instead of an error; `asked` is what the client allows.
    pub fn may_serve_on_error(&self, now: Instant, asked: Option<u32>) -> bool {
        let asked = Duration::from_secs(u64::from(asked.unwrap_or(0)));
        let most = self.stale_if_error.max(asked);
        !self.must_revalidate && !most.is_zero() && self.staleness(now) <= most
    }

    /// Whether it may be given because nobody else can be asked.
    pub fn may_serve_disconnected(&self, now: Instant) -> bool {
        !self.must_revalidate && self.staleness(now) <= MAX_DISCONNECTED_STALENESS.max(self.stale_if_error)
    }

    /// Whether nothing can be done with it any more.
    pub fn is_unusable(&self, now: Instant, validates: bool) -> bool {
        let stale = if self.must_revalidate {
            Duration::ZERO
        } else {
            self.stale_while_revalidate.max(self.stale_if_error).max(Duration::from_secs(3600))
        };
        let worth = if validates { stale.max(MIN_STORED_LIFETIME) } else { stale };
        self.remaining(now).is_none() && self.staleness(now) > worth
    }
}

/// The time that the answer says itself; one that cannot be read is no time at all.
fn explicit_lifetime(arrival: &ResponseTimes) -> Option<Duration> {
    let ResponseTimes { directives, head, .. } = arrival;
    if let Some(time) = directives.s_maxage.or(directives.max_age) {
        return Some(Duration::from_secs(u64::from(time)));
    }
    let expires = head.get(b"expires").filter(|_| !arrival.targeted)?;
    let until = dates::parse(expires, arrival.date_now).unwrap_or(0);
    let from = date(arrival).unwrap_or(arrival.date_now);
    Some(Duration::from_secs(u64::try_from(until.saturating_sub(from)).unwrap_or(0)))
}

fn date(arrival: &ResponseTimes) -> Option<i64> {
    dates::parse(arrival.head.get(b"date")?, arrival.date_now)
}

/// RFC 9111 4.2.2: a tenth of the age of the content, where the status allows to guess at all.
fn heuristic_lifetime(arrival: &ResponseTimes, defaults: &Defaults) -> Duration {
    let ResponseTimes { head, directives, .. } = arrival;
    let guessable = allows_heuristic(head.status) || directives.public;
    if !guessable {
        return Duration::ZERO;
    }
    if let Some(negative) = defaults.negative.filter(|_| head.status >= 400) {
        return negative;
    }
    if let Some(ttl) = defaults.ttl.filter(|_| head.status < 400) {
        return ttl;
    }
    let modified = head.get(b"last-modified").and_then(|text| dates::parse(text, arrival.date_now));
    let from = date(arrival).unwrap_or(arrival.date_now);
    let tenth =
        modified.map_or(0, |modified| (from.saturating_sub(modified) / 10).clamp(0, MAX_HEURISTIC_LIFETIME));
    Duration::from_secs(tenth.unsigned_abs())
}

/// RFC 9110 15.1: statuses whose answers may be kept though they do not say so.
pub fn allows_heuristic(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses whose rules about keeping are known here (for `must-understand`, RFC 9111 5.2.2.3).
pub fn knows_status(status: u16) -> bool {
    matches!(status, 200..=205 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

/// RFC 9111 4.2.3; of several ages the first counts, and one that is no number does not.
fn initial_age(arrival: &ResponseTimes) -> Duration {
    let apparent = date(arrival).map_or(0, |date| arrival.date_now.saturating_sub(date).max(0));
    let line = arrival.head.get(b"age").and_then(|line| crate::base::bytes::comma_list(line).next());
    let said = line.and_then(seconds).unwrap_or(0);
    let delay = arrival.received_at.saturating_duration_since(arrival.requested_at);
    Duration::from_secs(apparent.unsigned_abs()).max(Duration::from_secs(u64::from(said)) + delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: i64 = 784_111_777;
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn life(status: u16, fields: &[(&str, &str)], defaults: &Defaults) -> Freshness {
        let mut head = Head::response(status, b"");
        fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
        let (directives, targeted) = Directives::for_shared_cache(&head);
        let received = Instant::now() + Duration::from_secs(100);
        let asked = received - Duration::from_secs(2);
        Freshness::from_response(
            &ResponseTimes {
                head: &head,
                directives: &directives,
                targeted,
                requested_at: asked,
                received_at: received,
                date_now: WALL,
            },
            defaults,
        )
    }

    fn lifetime(status: u16, fields: &[(&str, &str)]) -> u64 {
        life(status, fields, &Defaults::default()).lifetime.as_secs()
    }

    #[test]
    fn the_nearest_word_about_freshness_counts() {
        let expires = ("Expires", "Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(lifetime(200, &[expires, ("Date", DATE)]), 60);
        assert_eq!(lifetime(200, &[expires]), 60);
        assert_eq!(lifetime(200, &[expires, ("Cache-Control", "max-age=5")]), 5);
        assert_eq!(lifetime(200, &[("Cache-Control", "max-age=5, s-maxage=7")]), 7);
        assert_eq!(lifetime(200, &[("Expires", "0")]), 0);
        assert_eq!(lifetime(200, &[expires, ("CDN-Cache-Control", "foo")]), 0);
    }

    #[test]
    fn a_tenth_of_the_age_of_the_content_is_guessed_where_that_is_allowed() {
        let old = ("Last-Modified", "Sat, 05 Nov 1994 08:49:37 GMT");
        assert_eq!((lifetime(200, &[old]), lifetime(201, &[old]), lifetime(200, &[])), (8640, 0, 0));
        assert_eq!(lifetime(599, &[old, ("Cache-Control", "public")]), 8640);
        assert_eq!(lifetime(200, &[("Last-Modified", "Sat, 05 Nov 1960 08:49:37 GMT")]), 86_400);
        let defaults = Defaults {
            ttl: Some(Duration::from_secs(3)),
            negative: Some(Duration::from_secs(1)),
            ..Defaults::default()
        };
        assert_eq!(life(200, &[old], &defaults).lifetime.as_secs(), 3);
        assert_eq!(life(404, &[old], &defaults).lifetime.as_secs(), 1);
        assert_eq!(life(404, &[("Cache-Control", "max-age=9")], &defaults).lifetime.as_secs(), 9);
    }

    #[test]
    fn the_age_is_the_larger_of_what_is_said_and_what_is_seen() {
        let age = |fields: &[(&str, &str)]| life(200, fields, &Defaults::default()).initial.as_secs();
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
    fn stale_answers_are_given_only_as_far_as_the_answer_lets_them() {
        let of = |text| life(200, &[("Cache-Control", text)], &Defaults::default());
        let later = |life: &Freshness, secs| life.received_at + Duration::from_secs(secs);
        let life = of("max-age=10, stale-while-revalidate=5, stale-if-error=20");
        assert!(life.remaining(later(&life, 7)).is_some() && life.remaining(later(&life, 8)).is_none());
        assert!(life.may_serve_while_revalidating(later(&life, 13)));
        assert!(!life.may_serve_while_revalidating(later(&life, 14)));
        assert!(
            life.may_serve_on_error(later(&life, 28), None)
                && !life.may_serve_on_error(later(&life, 29), None)
        );
        assert!(life.may_serve_on_error(later(&life, 29), Some(60)));
        for text in ["max-age=1, must-revalidate, stale-if-error=9", "no-cache", "s-maxage=1"] {
            let life = of(text);
            let now = later(&life, 5);
            assert!(!life.may_serve_on_error(now, Some(99)) && !life.may_serve_disconnected(now), "{text}");
        }
        assert!(of("s-maxage=1, stale-if-error=60").may_serve_on_error(later(&of(""), 5), None));
    }

    #[test]
    fn what_nobody_can_use_any_more_is_over() {
        let life = life(200, &[("Cache-Control", "max-age=10, must-revalidate")], &Defaults::default());
        let now = life.received_at + Duration::from_secs(60);
        assert!(
            life.is_unusable(now, false)
                && !life.is_unusable(now, true)
                && !life.is_unusable(life.received_at, false)
        );
    }
}
