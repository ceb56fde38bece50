//! Sticky sessions: who carries the same cookie goes to the same endpoint.

use super::{Arc, Balancer, Endpoint, EndpointSet, exclude_tried};
use crate::{
    base::hash::stable_hash,
    pipeline::{cookies::cookie_value, exchange::Exchange, response::RouteResult},
};
use moka::{policy::EvictionPolicy, sync::Cache};
use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Sessions kept at most for one cookie; beyond it the one that was not used for the longest time is forgotten.
const MAX_SESSIONS: u64 = 100_000;

/// How sessions are told apart and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    pub cookie: Box<str>,
    /// How long a session lasts unused; of the gateway's own cookie, how long browsers keep it, if that is said.
    pub expiry: Option<Duration>,
    pub keeps: SessionStore,
}

/// Who remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStore {
    /// The gateway, as Ocelot does: one memory for all that use a cookie of that name, no cookie being a session too,
    /// and an endpoint that is gone staying what it was.
    Unbounded,
    /// The gateway, for each cluster; what cannot be used is replaced.
    Bounded,
    /// The client: the gateway sets the cookie, which names the endpoint.
    Cookie,
}

/// How long a session lasts unused, unless the configuration says otherwise (Ocelot's).
pub const DEFAULT_EXPIRY: Duration = Duration::from_secs(20 * 60);

/// The sessions of one cookie.
pub struct Sessions {
    known: Cache<[u64; 2], Arc<Endpoint>>,
    keys: [RandomState; 2],
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Sessions({})", self.known.entry_count())
    }
}

impl Sessions {
    pub fn new(expiry: Duration) -> Sessions {
        Sessions::with_capacity(expiry, MAX_SESSIONS)
    }

    fn with_capacity(expiry: Duration, most: u64) -> Sessions {
        let known = Cache::builder().max_capacity(most).time_to_idle(expiry);
        Sessions { known: known.eviction_policy(EvictionPolicy::lru()).build(), keys: Default::default() }
    }

    /// As short for long cookies, and not to be foreseen.
    fn key(&self, cookie: &[u8]) -> [u64; 2] {
        [self.keys[0].hash_one(cookie), self.keys[1].hash_one(cookie)]
    }

    /// The endpoint of a session; a new one, or one whose endpoint cannot be used, gets the `next`.
    fn endpoint(
        &self,
        cookie: &[u8],
        usable: impl Fn(&Arc<Endpoint>) -> Option<Arc<Endpoint>> + Send + Sync,
        next: impl FnOnce() -> Arc<Endpoint>,
    ) -> Arc<Endpoint> {
        let key = self.key(cookie);
        if let Some(found) = self.known.get(&key).and_then(|endpoint| usable(&endpoint)) {
            return found;
        }
        // Of several requests of one session that come at one time, one decides.
        let entry = self.known.entry(key).or_insert_with_if(next, |old| usable(old).is_none());
        let endpoint = entry.into_value();
        usable(&endpoint).unwrap_or(endpoint)
    }
}

impl Sticky {
    /// The endpoint of the session that a request belongs to; there is one at least.
    pub(super) fn pick_session(
        &self,
        balancer: &Balancer,
        ready: &EndpointSet,
        exchange: &Exchange,
        tried: &[Arc<Endpoint>],
    ) -> Arc<Endpoint> {
        let cookie = cookie_value(&exchange.request, &self.cookie);
        let next = || ready.pick_from(balancer.next_index(), tried).clone();
        let now = |old: &Arc<Endpoint>| ready.endpoints.iter().find(|e| Arc::ptr_eq(&e.state, &old.state));
        let fresh = |old: &Arc<Endpoint>| now(old).filter(|e| exclude_tried(e, tried)).cloned();
        match (self.keeps, &balancer.sessions, cookie) {
            (SessionStore::Unbounded, Some(sessions), cookie) => {
                let usable =
                    |old: &Arc<Endpoint>| exclude_tried(old, tried).then(|| now(old).unwrap_or(old).clone());
                sessions.endpoint(cookie.unwrap_or_default(), usable, next)
            }
            (SessionStore::Bounded, Some(sessions), Some(cookie)) if !cookie.is_empty() => {
                sessions.endpoint(cookie, fresh, next)
            }
            (SessionStore::Cookie, _, Some(cookie)) => {
                let id = session_id(cookie);
                let named = id.and_then(|id| ready.session_ids.iter().position(|known| *known == id));
                let named = named.and_then(|at| ready.endpoints.get(at));
                named.filter(|e| exclude_tried(e, tried)).cloned().unwrap_or_else(next)
            }
            _ => next(),
        }
    }

    /// Whether the session of a request goes on where it is, even if that is gone.
    pub(super) fn has_session(&self, sessions: &Sessions, exchange: &Exchange) -> bool {
        let key = || sessions.key(cookie_value(&exchange.request, &self.cookie).unwrap_or_default());
        self.keeps == SessionStore::Unbounded && sessions.known.contains_key(&key())
    }

    /// What stands for these endpoints in the cookie, where there is one.
    pub(super) fn endpoint_ids(&self, endpoints: &[Arc<Endpoint>]) -> Box<[u64]> {
        let endpoints = endpoints.iter().filter(|_| self.keeps == SessionStore::Cookie);
        endpoints.map(|endpoint| stable_hash(endpoint.label.as_bytes())).collect()
    }

    /// Sets the cookie that names the endpoint which answered, unless the client has it already.
    pub fn set_session_cookie(
        &self,
        members: &[Arc<Endpoint>],
        exchange: &Exchange,
        outcome: &mut RouteResult,
    ) {
        let (SessionStore::Cookie, Ok(answer), Some(label)) =
            (self.keeps, outcome, &exchange.record.endpoint)
        else {
            return;
        };
        let Some(id) = members.iter().find(|e| e.label == *label).map(|e| endpoint_id(e)) else { return };
        if cookie_value(&exchange.request, &self.cookie) == Some(id.as_bytes()) {
            return;
        }
        let mut text = format!("{}={id}; Path=/; HttpOnly; SameSite=Lax", self.cookie);
        if let Some(expiry) = self.expiry {
            text += &format!("; Max-Age={}", expiry.as_secs());
        }
        if exchange.client.is_tls {
            text += "; Secure";
        }
        answer.head.append(b"Set-Cookie", text.as_bytes());
    }
}

/// What stands for an endpoint in a cookie: the same in every gateway, and no address.
fn endpoint_id(endpoint: &Endpoint) -> String {
    format!("{:016x}", stable_hash(endpoint.label.as_bytes()))
}

/// The number in a cookie that we set.
fn session_id(cookie: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(cookie).ok().filter(|text| text.len() == 16)?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{endpoints, exchange};
    use super::*;

    #[test]
    fn sessions_beyond_the_most_are_forgotten_and_the_oldest_first() {
        let (all, sessions) = (endpoints(&[1, 1]), Sessions::with_capacity(DEFAULT_EXPIRY, 10));
        let at = |cookie: String, endpoint: usize| {
            let next = || all[endpoint].clone();
            sessions.endpoint(cookie.as_bytes(), |old| Some(old.clone()), next).label.clone()
        };
        (0..100).for_each(|n| {
            at(n.to_string(), 0);
        });
        sessions.known.run_pending_tasks();
        assert!(sessions.known.entry_count() <= 10);
        assert_eq!((&*at("99".into(), 1), &*at("0".into(), 1)), ("127.0.0.1:1", "127.0.0.1:2"));
    }

    #[test]
    fn the_cookie_of_the_gateway_names_the_endpoint_and_is_set_once() {
        let sticky = Sticky {
            cookie: "at".into(),
            expiry: Some(Duration::from_secs(60)),
            keeps: SessionStore::Cookie,
        };
        let (all, mut x) = (endpoints(&[1, 1]), exchange());
        x.record.endpoint = Some(all[1].label.clone());
        let mark = |exchange: &Exchange| {
            let mut outcome = Ok(crate::pipeline::response::Response::local(200, "", "ok"));
            sticky.set_session_cookie(&all, exchange, &mut outcome);
            outcome.unwrap().head.get(b"set-cookie").map(|text| String::from_utf8_lossy(text).into_owned())
        };
        let set = mark(&x).unwrap();
        assert_eq!(set, format!("at={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=60", endpoint_id(&all[1])));
        x.request.append(b"Cookie", set.split(';').next().unwrap().as_bytes());
        assert_eq!(mark(&x), None);
        x.record.endpoint = Some(all[0].label.clone());
        assert!(mark(&x).is_some(), "the endpoint moved");
        assert_eq!(session_id(endpoint_id(&all[1]).as_bytes()), Some(sticky.endpoint_ids(&all)[1]));
        assert_eq!((session_id(b"x"), session_id(b"00000000000000zz"), session_id(b"0")), (None, None, None));
    }
}
