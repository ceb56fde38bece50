//! Consistent hashing: requests with equal keys go to the same endpoint, and few keys move when the set
//! changes.
//!
//! Keys map to slots, and each slot belongs to the endpoint with the highest score for it (weighted
//! rendezvous hashing, Thaler and Ravishankar 1998): when an endpoint goes, only its own slots move. The
//! lookup table is built when the set changes, and then only for the slots that may change.

use crate::{
    backend::{balance::caller::Caller, endpoint::Endpoint, selection::is_untried},
    base::hash::{mix64, stable_hash},
    pipeline::cookies::cookie_value,
};
use std::{net::IpAddr, sync::Arc};

/// The number of slots as a power of two: enough for even shares among a hundred endpoints.
const SLOT_BITS: u32 = 14;

/// The source of the hash key. Requests without the value use the client address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashPolicy {
    Address,
    Header(Box<str>),
    Cookie(Box<str>),
    /// The value of a path parameter, hashed by the route into `Exchange::balancer_key`.
    Path(Box<str>),
}

impl HashPolicy {
    /// Parses `IP`, `Header:NAME`, `Cookie:NAME` and `Path:NAME`; the keywords are case-insensitive.
    pub fn parse(text: &str) -> Option<HashPolicy> {
        if text.trim().eq_ignore_ascii_case("ip") {
            return Some(HashPolicy::Address);
        }
        let (keyword, name) = text.split_once(':')?;
        let name: Box<str> = Some(name.trim()).filter(|name| !name.is_empty())?.into();
        match keyword.trim().to_ascii_lowercase().as_str() {
            "header" => Some(HashPolicy::Header(name)),
            "cookie" => Some(HashPolicy::Cookie(name)),
            "path" => Some(HashPolicy::Path(name)),
            _ => None,
        }
    }

    /// The hash of the request's key; that of a connection is its client address.
    fn key(&self, caller: Caller) -> u64 {
        let Some(exchange) = caller.exchange else { return hash_address(caller.client) };
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

/// The owner of each slot.
#[derive(Debug, Default)]
pub struct LookupTable {
    /// For each slot, the endpoint with the highest score, and that score.
    slot_endpoints: Box<[(u32, f64)]>,
    /// Seed and weight of each endpoint, in the order of the set.
    seeds: Box<[(u64, u32)]>,
}

impl LookupTable {
    /// Builds the table of these endpoints; reuses the scores of the previous table where an endpoint stays.
    pub fn build(endpoints: &[Arc<Endpoint>], before: &LookupTable) -> LookupTable {
        let seeds: Box<[_]> =
            endpoints.iter().map(|e| (stable_hash(e.label.as_bytes()), e.weight.max(1))).collect();
        if seeds.is_empty() {
            return LookupTable::default();
        }
        let position = |seed: &(u64, u32)| seeds.iter().position(|other| other == seed).map(|at| at as u32);
        let moved_to: Vec<Option<u32>> = before.seeds.iter().map(position).collect();
        let all: Vec<u32> = (0..seeds.len() as u32).collect();
        let added: Vec<u32> =
            all.iter().copied().filter(|at| !before.seeds.contains(&seeds[*at as usize])).collect();
        let winner = |slot: usize| {
            let previous = before
                .slot_endpoints
                .get(slot)
                .and_then(|(at, score)| Some((moved_to[*at as usize]?, *score)));
            match previous {
                Some(previous) => highest_score(&seeds, &added, slot, Some(previous)),
                None => highest_score(&seeds, &all, slot, None),
            }
        };
        LookupTable { slot_endpoints: (0..1 << SLOT_BITS).map(winner).collect(), seeds }
    }

    /// The endpoint for a request, out of the endpoints the table was built for; there is at least one.
    pub fn pick<'e>(
        &self,
        policy: &HashPolicy,
        all: &'e [Arc<Endpoint>],
        caller: Caller,
        tried: &[Arc<Endpoint>],
    ) -> &'e Arc<Endpoint> {
        let slot = (policy.key(caller) >> (64 - SLOT_BITS)) as usize;
        let first = self.slot_endpoints.get(slot).map_or(0, |(at, _)| *at as usize);
        if tried.is_empty() || is_untried(&all[first], tried) {
            return &all[first];
        }
        let untried: Vec<u32> =
            (0..all.len() as u32).filter(|at| is_untried(&all[*at as usize], tried)).collect();
        if untried.is_empty() {
            &all[first]
        } else {
            &all[highest_score(&self.seeds, &untried, slot, None).0 as usize]
        }
    }
}

/// The candidate with the highest score for a slot, unless the previous winner scores higher.
fn highest_score(
    seeds: &[(u64, u32)],
    candidates: &[u32],
    slot: usize,
    before: Option<(u32, f64)>,
) -> (u32, f64) {
    let scores = candidates.iter().map(|at| (*at, score(seeds[*at as usize], slot)));
    before.into_iter().chain(scores).reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap_or((0, 0.0))
}

/// The score of an endpoint for a slot; the share of slots won is proportional to the weight.
fn score((seed, weight): (u64, u32), slot: usize) -> f64 {
    let hash = mix64(seed ^ mix64(slot as u64 + 1));
    let fraction = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(weight) / fraction.ln()
}
