//! Purges of all gateways: numbered on Redis, announced to every gateway, and kept there for those that were away.

use super::super::purge::Purge;
use std::collections::VecDeque;

/// How many purges are kept.
pub const MAX_PURGES: usize = 1000;

/// The purges that this gateway knows.
#[derive(Debug, Default)]
pub struct PurgeLog {
    latest: u64,
    purges: VecDeque<(u64, Purge)>,
}

impl PurgeLog {
    /// The number of the last purge.
    pub fn latest(&self) -> u64 {
        self.latest
    }

    /// Replaces everything by the purges on Redis. A lower number means that Redis has lost its data.
    pub fn reset(&mut self, latest: u64, purges: impl Iterator<Item = (u64, Purge)>) {
        *self = PurgeLog { latest, purges: purges.collect() };
    }

    /// Adds an announced purge; false if one before it is missing.
    pub fn add(&mut self, number: u64, purge: Purge) -> bool {
        if number <= self.latest {
            return true;
        }
        let is_next = number == self.latest + 1;
        self.latest = number;
        self.purges.push_back((number, purge));
        if self.purges.len() > MAX_PURGES {
            self.purges.pop_front();
        }
        is_next
    }

    /// Whether a response that was requested after the purge of this number is still valid.
    pub fn is_valid(&self, since: u64, url: &[u8], region: &[u8], tags: &[&[u8]]) -> bool {
        let first = self.purges.front().map_or(self.latest + 1, |(number, _)| *number);
        // A purge in between is not known any more, or the response is of another life of Redis.
        if since > self.latest || since + 1 < first {
            return false;
        }
        let later = self.purges.iter().rev().take_while(|(number, _)| *number > since);
        !later.into_iter().any(|(_, purge)| purge.selects(url, region, tags.iter().copied()))
    }
}

/// A purge as text: its kind and its value.
pub fn encode(purge: &Purge) -> Vec<u8> {
    let (kind, value): (&[u8], &[u8]) = match purge {
        Purge::Url(value) => (b"url ", value),
        Purge::Prefix(value) => (b"prefix ", value),
        Purge::Tag(value) => (b"tag ", value),
        Purge::Region(value) => (b"region ", value),
        Purge::All => (b"all ", b""),
    };
    [kind, value].concat()
}

/// Number and purge of an announcement; `None` if another version sent it.
pub fn decode(text: &[u8]) -> Option<(u64, Purge)> {
    let mut parts = text.splitn(3, |byte| *byte == b' ');
    let number = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let (kind, value) = (parts.next()?, parts.next()?.to_vec());
    let purge = match kind {
        b"url" => Purge::Url(value),
        b"prefix" => Purge::Prefix(value),
        b"tag" => Purge::Tag(value),
        b"region" => Purge::Region(value),
        b"all" => Purge::All,
        _ => return None,
    };
    Some((number, purge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purges_are_read_as_they_were_written() {
        for purge in [Purge::Url(b"http://h/a b".to_vec()), Purge::Tag(b"t".to_vec()), Purge::All] {
            assert_eq!(decode(&[b"7 ", &encode(&purge)[..]].concat()), Some((7, purge)));
        }
        assert_eq!([decode(b"x all "), decode(b"7 other "), decode(b"")], [None, None, None]);
    }

    #[test]
    fn a_response_is_valid_until_a_later_purge_selects_it() {
        let mut log = PurgeLog::default();
        let valid = |log: &PurgeLog, since| log.is_valid(since, b"http://h/a", b"r", &[b"t"]);
        assert!(valid(&log, 0));
        assert!(log.add(1, Purge::Tag(b"other".to_vec())) && valid(&log, 0));
        assert!(
            log.add(2, Purge::Tag(b"t".to_vec())) && !valid(&log, 0) && !valid(&log, 1) && valid(&log, 2)
        );
        assert!(!log.add(4, Purge::Tag(b"x".to_vec())), "the third is missing");
        assert!(!valid(&log, 9), "of another life of Redis");
        log.reset(2000, std::iter::once((1500, Purge::Prefix(b"http://g/".to_vec()))));
        assert!(valid(&log, 1499) && !valid(&log, 1400), "purges before the first known one are not known");
    }
}
