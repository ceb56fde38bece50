//! Consistent hashing: what has the same key goes to the same endpoint, and few keys move when the set changes.
//!
//! Keys fall into slots, and every slot goes to the endpoint with the highest score for it (rendezvous hashing, Thaler and
//! Ravishankar 1998, with weights): when an endpoint goes, only its own slots move. The winners are worked out when the
//! set changes, and then only for the slots that may change.

use super::{Arc, Endpoint, exclude_tried};
use crate::{
    base::hash::{mix64, stable_hash},
    pipeline::{cookies::cookie_value, exchange::Exchange},
};
use std::net::IpAddr;

/// How many slots there are, as a power of two: enough for shares of a hundred endpoints to be even.
const SLOT_BITS: u32 = 14;

/// What a request's key is. Where a request does not have it, its client's address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashPolicy {
    Address,
    Header(Box<str>),
    Cookie(Box<str>),
    /// The value of a placeholder of the path; what it is worth the route says in `Exchange::affinity`.
    Path(Box<str>),
}

impl HashPolicy {
    /// Reads `IP`, `Header:NAME`, `Cookie:NAME` and `Path:NAME`; words without regard to case.
    pub fn parse(text: &str) -> Option<HashPolicy> {
        if text.trim().eq_ignore_ascii_case("ip") {
            return Some(HashPolicy::Address);
        }
        let (word, name) = text.split_once(':')?;
        let name: Box<str> = Some(name.trim()).filter(|name| !name.is_empty())?.into();
        match word.trim().to_ascii_lowercase().as_str() {
            "header" => Some(HashPolicy::Header(name)),
            "cookie" => Some(HashPolicy::Cookie(name)),
            "path" => Some(HashPolicy::Path(name)),
            _ => None,
        }
    }

    /// The number that stands for the key of a request.
    fn key(&self, exchange: &Exchange) -> u64 {
        let text = match self {
            HashPolicy::Address => None,
            HashPolicy::Header(name) => exchange.request.get(name.as_bytes()),
            HashPolicy::Cookie(name) => cookie_value(&exchange.request, name),
            HashPolicy::Path(_) => {
                return exchange.routing.balancer_key.unwrap_or_else(|| hash_address(exchange.client.ip));
            }
        };
        text.filter(|text| !text.is_empty()).map_or_else(|| hash_address(exchange.client.ip), stable_hash)
    }
}

fn hash_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => stable_hash(&v4.octets()),
        IpAddr::V6(v6) => stable_hash(&v6.octets()),
    }
}

/// Who has which slot.
#[derive(Debug, Default)]
pub struct LookupTable {
    /// For each slot the endpoint with the highest score, and the score.
    slot_endpoints: Box<[(u32, f64)]>,
    /// What tells the endpoints apart, in their order: seed and weight.
    seeds: Box<[(u64, u32)]>,
}

impl LookupTable {
    /// The slots of these endpoints; what is known of those before makes it quick.
    pub fn build(endpoints: &[Arc<Endpoint>], before: &LookupTable) -> LookupTable {
        let seeds: Box<[_]> =
            endpoints.iter().map(|e| (stable_hash(e.label.as_bytes()), e.weight.max(1))).collect();
        if seeds.is_empty() {
            return LookupTable::default();
        }
        let place = |seed: &(u64, u32)| seeds.iter().position(|other| other == seed).map(|at| at as u32);
        let kept: Vec<Option<u32>> = before.seeds.iter().map(place).collect();
        let all: Vec<u32> = (0..seeds.len() as u32).collect();
        let new: Vec<u32> =
            all.iter().copied().filter(|at| !before.seeds.contains(&seeds[*at as usize])).collect();
        let winner = |slot: usize| {
            let old =
                before.slot_endpoints.get(slot).and_then(|(at, score)| Some((kept[*at as usize]?, *score)));
            match old {
                Some(old) => highest_score(&seeds, &new, slot, Some(old)),
                None => highest_score(&seeds, &all, slot, None),
            }
        };
        LookupTable { slot_endpoints: (0..1 << SLOT_BITS).map(winner).collect(), seeds }
    }

    /// The endpoint for a request, of those that the slots are of; there is one at least.
    pub fn pick<'e>(
        &self,
        on: &HashPolicy,
        all: &'e [Arc<Endpoint>],
        exchange: &Exchange,
        tried: &[Arc<Endpoint>],
    ) -> &'e Arc<Endpoint> {
        let slot = (on.key(exchange) >> (64 - SLOT_BITS)) as usize;
        let first = self.slot_endpoints.get(slot).map_or(0, |(at, _)| *at as usize);
        if tried.is_empty() || exclude_tried(&all[first], tried) {
            return &all[first];
        }
        let others: Vec<u32> =
            (0..all.len() as u32).filter(|at| exclude_tried(&all[*at as usize], tried)).collect();
        if others.is_empty() {
            &all[first]
        } else {
            &all[highest_score(&self.seeds, &others, slot, None).0 as usize]
        }
    }
}

/// The best of these for a slot, or the one that was best before.
fn highest_score(seeds: &[(u64, u32)], of: &[u32], slot: usize, before: Option<(u32, f64)>) -> (u32, f64) {
    let scores = of.iter().map(|at| (*at, score(seeds[*at as usize], slot)));
    before.into_iter().chain(scores).reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap_or((0, 0.0))
}

/// The higher the better; a share of the slots that goes with the weight is won.
fn score((seed, weight): (u64, u32), slot: usize) -> f64 {
    let hash = mix64(seed ^ mix64(slot as u64 + 1));
    let part = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(weight) / part.ln()
}
