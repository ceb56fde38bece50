//! `Cache-Status` (RFC 9211): what the cache did with a request.

use crate::pipeline::head::Head;
use smallvec::SmallVec;

/// Why a request went on to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Its method, or what it says, keeps it out of the cache.
    Method,
    Request,
    Bypass,
    /// Nothing is stored for this address.
    UriMiss,
    /// Nothing is stored for such requests.
    VaryMiss,
    Stale,
}

impl Forward {
    fn name(self) -> &'static [u8] {
        match self {
            Forward::Method => b"method",
            Forward::Request => b"request",
            Forward::Bypass => b"bypass",
            Forward::UriMiss => b"uri-miss",
            Forward::VaryMiss => b"vary-miss",
            Forward::Stale => b"stale",
        }
    }
}

/// What is said about an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheStatus<'s> {
    pub hit: bool,
    pub forward: Option<Forward>,
    /// The status of the service, where the client gets another one.
    pub forward_status: Option<u16>,
    /// Seconds of freshness left.
    pub ttl: Option<i64>,
    pub stored: bool,
    pub collapsed: bool,
    pub detail: Option<&'s str>,
}

impl CacheStatus<'_> {
    /// Adds the field, behind what caches nearer to the service said.
    pub fn append_to(&self, head: &mut Head) {
        head.append(b"Cache-Status", &self.text());
    }

    /// The value of the field.
    pub fn text(&self) -> SmallVec<[u8; 96]> {
        let mut out: SmallVec<[u8; 96]> = SmallVec::from_slice(b"margay");
        if self.hit {
            out.extend_from_slice(b"; hit");
        }
        if let Some(forward) = self.forward {
            out.extend_from_slice(b"; fwd=");
            out.extend_from_slice(forward.name());
        }
        if let Some(status) = self.forward_status {
            push_param(&mut out, b"; fwd-status=", i64::from(status));
        }
        if let Some(ttl) = self.ttl {
            push_param(&mut out, b"; ttl=", ttl);
        }
        if self.stored {
            out.extend_from_slice(b"; stored");
        }
        if self.collapsed {
            out.extend_from_slice(b"; collapsed");
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            out.extend_from_slice(detail.as_bytes());
        }
        out
    }
}

fn push_param(out: &mut SmallVec<[u8; 96]>, name: &[u8], n: i64) {
    out.extend_from_slice(name);
    if n < 0 {
        out.push(b'-');
    }
    let (mut digits, mut n, mut at) = ([0u8; 20], n.unsigned_abs(), 20);
    while at == 20 || n > 0 {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_says_how_long_it_is_fresh_and_a_miss_why() {
        let text = |said: CacheStatus| String::from_utf8(said.text().to_vec()).unwrap();
        assert_eq!(
            text(CacheStatus { hit: true, ttl: Some(30), ..CacheStatus::default() }),
            "margay; hit; ttl=30"
        );
        assert_eq!(
            text(CacheStatus { hit: true, ttl: Some(-4), ..CacheStatus::default() }),
            "margay; hit; ttl=-4"
        );
        let miss = CacheStatus {
            forward: Some(Forward::Stale),
            forward_status: Some(304),
            ttl: Some(0),
            stored: true,
            collapsed: true,
            detail: Some("x"),
            ..CacheStatus::default()
        };
        assert_eq!(text(miss), "margay; fwd=stale; fwd-status=304; ttl=0; stored; collapsed; detail=x");
    }
}
