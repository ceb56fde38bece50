//! `Cache-Status` (RFC 9211): how the cache handled a request.

use crate::pipeline::head::Head;
use smallvec::SmallVec;

/// Why a request was forwarded to the backend (`fwd`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Its method is not cacheable.
    Method,
    Request,
    Bypass,
    /// No response is stored for the URL.
    UriMiss,
    /// The stored responses do not match the request (`Vary`).
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

/// The parameters of the field.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheStatus<'s> {
    pub hit: bool,
    pub forward: Option<Forward>,
    /// The status of the backend, if the client gets another one.
    pub forward_status: Option<u16>,
    /// Remaining freshness in seconds.
    pub ttl_secs: Option<i64>,
    pub stored: bool,
    pub collapsed: bool,
    pub detail: Option<&'s str>,
}

impl CacheStatus<'_> {
    /// Appends the field after those of caches closer to the backend.
    pub fn append_to(&self, head: &mut Head) {
        head.append(b"Cache-Status", &self.text());
    }

    /// The value of the field.
    pub fn text(&self) -> SmallVec<[u8; 96]> {
        let mut text: SmallVec<[u8; 96]> = SmallVec::from_slice(b"margay");
        if self.hit {
            text.extend_from_slice(b"; hit");
        }
        if let Some(forward) = self.forward {
            text.extend_from_slice(b"; fwd=");
            text.extend_from_slice(forward.name());
        }
        if let Some(status) = self.forward_status {
            push_param(&mut text, b"; fwd-status=", i64::from(status));
        }
        if let Some(ttl) = self.ttl_secs {
            push_param(&mut text, b"; ttl=", ttl);
        }
        if self.stored {
            text.extend_from_slice(b"; stored");
        }
        if self.collapsed {
            text.extend_from_slice(b"; collapsed");
        }
        if let Some(detail) = self.detail {
            text.extend_from_slice(b"; detail=");
            text.extend_from_slice(detail.as_bytes());
        }
        text
    }
}

fn push_param(text: &mut SmallVec<[u8; 96]>, name: &[u8], n: i64) {
    text.extend_from_slice(name);
    if n < 0 {
        text.push(b'-');
    }
    let (mut digits, mut n, mut at) = ([0u8; 20], n.unsigned_abs(), 20);
    while at == 20 || n > 0 {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
    }
    text.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_has_its_ttl_and_a_miss_its_reason() {
        let text = |status: CacheStatus| String::from_utf8(status.text().to_vec()).unwrap();
        assert_eq!(
            text(CacheStatus { hit: true, ttl_secs: Some(30), ..CacheStatus::default() }),
            "margay; hit; ttl=30"
        );
        assert_eq!(
            text(CacheStatus { hit: true, ttl_secs: Some(-4), ..CacheStatus::default() }),
            "margay; hit; ttl=-4"
        );
        let miss = CacheStatus {
            forward: Some(Forward::Stale),
            forward_status: Some(304),
            ttl_secs: Some(0),
            stored: true,
            collapsed: true,
            detail: Some("x"),
            ..CacheStatus::default()
        };
        assert_eq!(text(miss), "margay; fwd=stale; fwd-status=304; ttl=0; stored; collapsed; detail=x");
    }
}
