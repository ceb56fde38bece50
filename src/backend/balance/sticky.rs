//! Sticky sessions (session affinity): requests with the same cookie go to the same endpoint.

use super::{endpoint_set::EndpointSet, session_directory::SessionDirectory};
use crate::{
    backend::{endpoint::Endpoint, selection::is_untried},
    base::hash::stable_hash,
    pipeline::{cookies::cookie_value, exchange::Exchange, response::RouteResult},
};
use moka::{policy::EvictionPolicy, sync::Cache};
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

/// The maximum number of sessions of one cookie; beyond it the least recently used session is forgotten.
const MAX_SESSIONS: u64 = 100_000;

/// How sessions are identified and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    pub cookie: Box<str>,
    /// The idle timeout of a session; for [`SessionStore::Cookie`], the `Max-Age` of the cookie, if set.
    pub expiry: Option<Duration>,
    pub store: SessionStore,
}

/// Where the endpoint of a session is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStore {
    /// In the gateway, as in Ocelot: clusters with the same cookie name share the sessions, requests without
    /// a cookie form one session, and a session keeps an endpoint that no longer exists.
    Unbounded,
    /// In the gateway, per cluster; a session moves when its endpoint cannot be used.
    Bounded,
    /// The same, known to all gateways.
    Shared,
    /// In the client: the gateway sets a cookie that identifies the endpoint.
    Cookie,
}

/// The default idle timeout of a session (Ocelot's).
pub const DEFAULT_EXPIRY: Duration = Duration::from_secs(20 * 60);

/// The sessions of one cookie.
pub struct Sessions {
    cache: Cache<[u64; 2], Arc<Endpoint>>,
    keys: [RandomState; 2],
    /// The sessions of other gateways.
    directory: Option<Arc<dyn SessionDirectory>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Sessions({})", self.cache.entry_count())
    }
}

impl Sessions {
    /// An empty table; a session that is not used for `expiry` is forgotten.
    pub fn new(expiry: Duration) -> Sessions {
        Sessions::with_capacity(expiry, MAX_SESSIONS)
    }

    /// A table of sessions that other gateways know too.
    pub fn shared(expiry: Duration, directory: Arc<dyn SessionDirectory>) -> Sessions {
        Sessions { directory: Some(directory), ..Sessions::new(expiry) }
    }

    fn with_capacity(expiry: Duration, max_sessions: u64) -> Sessions {
        let cache = Cache::builder().max_capacity(max_sessions).time_to_idle(expiry);
        let cache = cache.eviction_policy(EvictionPolicy::lru()).build();
        Sessions { cache, keys: Default::default(), directory: None }
    }

    /// Two keyed hashes: short for long cookies, and unpredictable for clients.
    fn key(&self, cookie: &[u8]) -> [u64; 2] {
        [self.keys[0].hash_one(cookie), self.keys[1].hash_one(cookie)]
    }

    /// The endpoint of a session; a new session, or one whose endpoint cannot be used, gets the `next`
    /// endpoint.
    fn endpoint(
        &self,
        cookie: &[u8],
        usable: impl Fn(&Arc<Endpoint>) -> Option<Arc<Endpoint>> + Send + Sync,
        next: impl FnOnce() -> Arc<Endpoint>,
    ) -> Arc<Endpoint> {
        let key = self.key(cookie);
        if let Some(endpoint) = self.cache.get(&key).and_then(|endpoint| usable(&endpoint)) {
            return endpoint;
        }
        // Of concurrent requests of one session, one decides.
        let entry = self.cache.entry(key).or_insert_with_if(next, |old| usable(old).is_none());
        let endpoint = entry.into_value();
        usable(&endpoint).unwrap_or(endpoint)
    }
}

impl Sticky {
    /// The endpoint of the request's session; the set is not empty. `next` selects the endpoint of a new
    /// session.
    pub(super) fn pick_session(
        &self,
        sessions: Option<&Sessions>,
        set: &EndpointSet,
        exchange: &Exchange,
        tried: &[Arc<Endpoint>],
        next: impl FnOnce() -> Arc<Endpoint>,
    ) -> Arc<Endpoint> {
        let cookie = cookie_value(&exchange.request, &self.cookie);
        let current = |old: &Arc<Endpoint>| set.endpoints.iter().find(|e| Arc::ptr_eq(&e.state, &old.state));
        let untried = |old: &Arc<Endpoint>| current(old).filter(|e| is_untried(e, tried)).cloned();
        match (self.store, sessions, cookie) {
            (SessionStore::Unbounded, Some(sessions), cookie) => {
                let usable =
                    |old: &Arc<Endpoint>| is_untried(old, tried).then(|| current(old).unwrap_or(old).clone());
                sessions.endpoint(cookie.unwrap_or_default(), usable, next)
            }
            (SessionStore::Bounded | SessionStore::Shared, Some(sessions), Some(cookie))
                if !cookie.is_empty() =>
            {
                let assigned = || {
                    let label = sessions.directory.as_ref()?.endpoint(cookie)?;
                    let endpoint = set.endpoints.iter().find(|endpoint| endpoint.label == label)?;
                    is_untried(endpoint, tried).then(|| endpoint.clone())
                };
                let endpoint = sessions.endpoint(cookie, untried, || assigned().unwrap_or_else(next));
                if let Some(directory) = &sessions.directory {
                    directory.record(cookie, &endpoint.label);
                }
                endpoint
            }
            (SessionStore::Cookie, _, Some(cookie)) => {
                let id = session_id(cookie);
                let position = id.and_then(|id| set.session_ids.iter().position(|known| *known == id));
                let endpoint = position.and_then(|at| set.endpoints.get(at));
                endpoint.filter(|e| is_untried(e, tried)).cloned().unwrap_or_else(next)
            }
            _ => next(),
        }
    }

    /// Whether the request's session keeps its endpoint even if that no longer exists.
    pub(super) fn has_session(&self, sessions: &Sessions, exchange: &Exchange) -> bool {
        let key = || sessions.key(cookie_value(&exchange.request, &self.cookie).unwrap_or_default());
        self.store == SessionStore::Unbounded && sessions.cache.contains_key(&key())
    }

    /// The identifiers of these endpoints in the session cookie, for [`SessionStore::Cookie`].
    pub(super) fn endpoint_ids(&self, endpoints: &[Arc<Endpoint>]) -> Box<[u64]> {
        let endpoints = endpoints.iter().filter(|_| self.store == SessionStore::Cookie);
        endpoints.map(|endpoint| stable_hash(endpoint.label.as_bytes())).collect()
    }

    /// Sets the cookie that identifies the endpoint which responded, unless the client sent it.
    pub fn set_session_cookie(
        &self,
        endpoints: &[Arc<Endpoint>],
        exchange: &Exchange,
        outcome: &mut RouteResult,
    ) {
        let (SessionStore::Cookie, Ok(response), Some(label)) =
            (self.store, outcome, &exchange.record.endpoint)
        else {
            return;
        };
        let Some(id) = endpoints.iter().find(|e| e.label == *label).map(|e| endpoint_id(e)) else { return };
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
        response.head.append(b"Set-Cookie", text.as_bytes());
    }
}

/// The identifier of an endpoint in the session cookie: equal in all gateways, and not an address.
fn endpoint_id(endpoint: &Endpoint) -> String {
    format!("{:016x}", stable_hash(endpoint.label.as_bytes()))
}

/// Parses a session cookie that the gateway set.
fn session_id(cookie: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(cookie).ok().filter(|text| text.len() == 16)?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{endpoints, exchange};
    use super::*;

    #[test]
    fn sessions_over_the_maximum_are_evicted_least_recently_used_first() {
        let (all, sessions) = (endpoints(&[1, 1]), Sessions::with_capacity(DEFAULT_EXPIRY, 10));
        let at = |cookie: String, endpoint: usize| {
            let next = || all[endpoint].clone();
            sessions.endpoint(cookie.as_bytes(), |old| Some(old.clone()), next).label.clone()
        };
        (0..100).for_each(|n| {
            at(n.to_string(), 0);
        });
        sessions.cache.run_pending_tasks();
        assert!(sessions.cache.entry_count() <= 10);
        assert_eq!((&*at("99".into(), 1), &*at("0".into(), 1)), ("127.0.0.1:1", "127.0.0.1:2"));
    }

    #[test]
    fn the_session_cookie_identifies_the_endpoint_and_is_set_once() {
        let sticky = Sticky {
            cookie: "at".into(),
            expiry: Some(Duration::from_secs(60)),
            store: SessionStore::Cookie,
        };
        let (all, mut exchange) = (endpoints(&[1, 1]), exchange());
        exchange.record.endpoint = Some(all[1].label.clone());
        let session_cookie = |exchange: &Exchange| {
            let mut outcome = Ok(crate::pipeline::response::Response::local(200, "", "ok"));
            sticky.set_session_cookie(&all, exchange, &mut outcome);
            outcome.unwrap().head.get(b"set-cookie").map(|text| String::from_utf8_lossy(text).into_owned())
        };
        let set = session_cookie(&exchange).unwrap();
        assert_eq!(set, format!("at={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=60", endpoint_id(&all[1])));
        exchange.request.append(b"Cookie", set.split(';').next().unwrap().as_bytes());
        assert_eq!(session_cookie(&exchange), None);
        exchange.record.endpoint = Some(all[0].label.clone());
        assert!(session_cookie(&exchange).is_some(), "the endpoint moved");
        assert_eq!(session_id(endpoint_id(&all[1]).as_bytes()), Some(sticky.endpoint_ids(&all)[1]));
        assert_eq!((session_id(b"x"), session_id(b"00000000000000zz"), session_id(b"0")), (None, None, None));
    }
}
