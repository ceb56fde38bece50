//! `JwtBearer`: tokens that somebody signed (RFC 7519), checked once and remembered until they expire.

use super::{
    Judged,
    keys::{KeySet, Signed},
    place::Found,
    provider::Provider,
    settings::JwtSettings,
    token::{Members, Parts},
};
use crate::{
    base::clock::Clock,
    pipeline::{
        cause::{Cause, Why},
        exchange::Exchange,
        identity::Identity,
    },
};
use jsonwebtoken::Algorithm;
use moka::{policy::EvictionPolicy, sync::Cache};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// Bytes of tokens and identities that one scheme remembers.
const REMEMBERED: u64 = 32 << 20;
/// The last second of the year 9999: later times are overflows, not dates.
const LAST: f64 = 253_402_300_799.0;

/// Where the keys are.
#[derive(Debug)]
pub enum Keys {
    Fixed(Arc<KeySet>),
    Remote(Arc<Provider>),
}

/// The scheme at work.
#[derive(Debug)]
pub struct Jwt {
    name: Arc<str>,
    settings: JwtSettings,
    keys: Keys,
    clock: Clock,
    /// By the whole token: another token never finds it.
    known: Cache<Box<[u8]>, Known>,
}

/// A token that was good.
#[derive(Clone, Debug)]
struct Known {
    user: Arc<Identity>,
    until: Instant,
    generation: u64,
}

impl Jwt {
    pub fn new(name: &str, settings: JwtSettings, keys: Keys, clock: Clock) -> Jwt {
        let known = Cache::<Box<[u8]>, Known>::builder()
            .max_capacity(REMEMBERED)
            .weigher(|token, known| weight(token, known))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Jwt { name: name.into(), settings, keys, clock, known }
    }

    fn generation(&self) -> u64 {
        match &self.keys {
            Keys::Fixed(_) => 0,
            Keys::Remote(provider) => provider.generation(),
        }
    }

    /// Judges the token of a request.
    pub fn judge(self: &Arc<Self>, x: &Exchange) -> Judged {
        let token = match self.settings.places.find(x, "Bearer") {
            Found::Nothing => return Judged::Absent,
            Found::Several => {
                return refused(Why::IdentityMalformed, "the header of the token is there twice");
            }
            Found::Text(token) => token,
        };
        let known = self.known.get(token).filter(|known| known.generation == self.generation());
        match known {
            Some(known) if x.now < known.until => Judged::Good(known.user),
            _ => self.examine(token, x.now, x.dry),
        }
    }

    /// Judges a token that is not remembered; one that names an unknown key waits for new keys.
    fn examine(self: &Arc<Self>, token: &[u8], now: Instant, dry: bool) -> Judged {
        match (self.check(token, now, dry), &self.keys) {
            (Ok(user), _) => Judged::Good(user),
            (Err(Refusal::Final(cause)), _) => Judged::Bad(cause),
            (Err(Refusal::NoKey), Keys::Fixed(_)) => Judged::Bad(no_key()),
            (Err(Refusal::NoKey), Keys::Remote(provider)) if dry => Judged::Bad(match provider.keys() {
                Some(_) => no_key(),
                None => away(),
            }),
            (Err(Refusal::NoKey), Keys::Remote(provider)) => {
                let (jwt, provider, token) = (self.clone(), provider.clone(), token.to_vec());
                Judged::Later(Box::pin(async move {
                    let fresh = provider.renewed().await;
                    match jwt.check(&token, now, false) {
                        Ok(user) => Ok(user),
                        Err(Refusal::Final(cause)) => Err(cause),
                        Err(Refusal::NoKey) if fresh => Err(no_key()),
                        Err(Refusal::NoKey) => Err(away()),
                    }
                }))
            }
        }
    }

    /// Checks everything, the cheap things first, and remembers a good token.
    fn check(&self, token: &[u8], now: Instant, dry: bool) -> Result<Arc<Identity>, Refusal> {
        let parts = Parts::of(token).map_err(malformed)?;
        let algorithm = self.header(&parts.header)?;
        let claims = parts.claims().map_err(malformed)?;
        let set = match &self.keys {
            Keys::Fixed(set) => Some(set.clone()),
            Keys::Remote(provider) => provider.keys(),
        };
        // A token of another issuer is not worth a fetch of keys.
        self.issuer(&claims, set.as_deref())?;
        let set = set.ok_or(Refusal::NoKey)?;
        let id = parts.header.get("kid").and_then(Value::as_str);
        match set.check(id, algorithm, parts.message, parts.signature) {
            Signed::Good => {}
            Signed::Unknown => return Err(Refusal::NoKey),
            Signed::Bad => {
                return Err(no(
                    Why::IdentitySignature,
                    "no key of the issuer made the signature of the token",
                ));
            }
            Signed::Algorithm => {
                return Err(no(
                    Why::IdentityAlgorithm,
                    "the token names an algorithm that its key is not for",
                ));
            }
        }
        let left = self.time(&claims)?;
        self.audience(&claims)?;
        let user = Arc::new(identity(self.name.clone(), &claims));
        let until = now + left;
        if !dry {
            self.known.insert(token.into(), Known { user: user.clone(), until, generation: set.generation });
        }
        Ok(user)
    }

    /// What the header says of itself; the algorithm, when it is one that the scheme allows.
    fn header(&self, header: &Members) -> Result<Algorithm, Refusal> {
        let text = |name| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(malformed("a field of the header of the token is not text")),
        };
        let algorithm = text("alg")?.ok_or_else(|| malformed("the token names no algorithm"))?;
        text("kid")?;
        let algorithm = algorithm.parse().ok().filter(|one| self.settings.algorithms.contains(one));
        let algorithm = algorithm
            .ok_or_else(|| no(Why::IdentityAlgorithm, "the token names an algorithm that is not allowed"))?;
        if header.get("crit").is_some() {
            return Err(no(Why::IdentityCritical, "the token demands an extension that is not known here"));
        }
        if ["jwk", "jku", "x5u"].iter().any(|name| header.get(name).is_some()) {
            return Err(no(Why::IdentityKey, "the token brings its own key"));
        }
        if !self.is_type(text("typ")?) {
            return Err(no(Why::IdentityType, "the token is of another type"));
        }
        Ok(algorithm)
    }

    /// RFC 7515 4.1.9: compared as media types, without regard to case, `application/` left out or not.
    fn is_type(&self, kind: Option<&str>) -> bool {
        let Some(kind) = kind else { return self.settings.types.is_empty() };
        let long = kind.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("application/"));
        let kind = if long { &kind[12..] } else { kind };
        let is = |one: &str| one.eq_ignore_ascii_case(kind);
        match self.settings.types.as_slice() {
            [] => is("JWT") || is("at+jwt"),
            types => types.iter().any(|one| is(one)),
        }
    }

    fn issuer(&self, claims: &Members, set: Option<&KeySet>) -> Result<(), Refusal> {
        let wanted = self.settings.issuer.as_deref().or_else(|| set?.issuer.as_deref());
        match wanted {
            Some(wanted) if claims.get("iss").and_then(Value::as_str) != Some(wanted) => {
                Err(no(Why::IdentityIssuer, "the token is of another issuer"))
            }
            _ => Ok(()),
        }
    }

    fn audience(&self, claims: &Members) -> Result<(), Refusal> {
        let wanted =
            |one: &Value| one.as_str().is_some_and(|one| self.settings.audiences.iter().any(|a| a == one));
        let found = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(wanted),
            Some(one) => wanted(one),
            None => false,
        };
        if found || self.settings.audiences.is_empty() {
            return Ok(());
        }
        Err(no(Why::IdentityAudience, "the token is for another audience"))
    }

    /// How long the token is still good.
    fn time(&self, claims: &Members) -> Result<Duration, Refusal> {
        let now = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let skew = self.settings.skew.as_secs_f64();
        let end = date(claims, "exp")?.ok_or_else(|| malformed("the token has no exp"))?;
        let left = end + skew - now;
        if left <= 0.0 {
            let ago = (now - end).min(LAST) as u64;
            return Err(no(Why::IdentityExpired, format!("the token expired {ago} s ago")));
        }
        let begin = date(claims, "nbf")?.unwrap_or(0.0);
        if begin > now + skew {
            let still = (begin - now).min(LAST) as u64;
            return Err(no(Why::IdentityEarly, format!("the token is not valid for another {still} s")));
        }
        Ok(Duration::from_secs_f64(left.min(LAST)))
    }
}

/// Why a token is not good.
enum Refusal {
    Final(Cause),
    /// No key has the name that it says; perhaps there are new ones.
    NoKey,
}

fn no(why: Why, detail: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::Final(Cause::new(why, detail))
}

fn malformed(detail: &'static str) -> Refusal {
    no(Why::IdentityMalformed, detail)
}

fn refused(why: Why, detail: &'static str) -> Judged {
    Judged::Bad(Cause::new(why, detail))
}

fn no_key() -> Cause {
    Cause::new(Why::IdentityKey, "the token names a key that its issuer does not have")
}

fn away() -> Cause {
    Cause::new(Why::IdentityProvider, "the keys of the issuer cannot be fetched now")
        .with(|more| more.fields.push(("Retry-After".into(), "2".to_owned())))
}

/// A NumericDate: seconds since 1970, fractions allowed.
fn date(claims: &Members, name: &str) -> Result<Option<f64>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|n| n.abs() <= LAST);
    seconds.map(Some).ok_or_else(|| malformed("a time of the token is not a time"))
}

/// The claims under their own names: of a list every item, of an object its JSON text.
fn identity(scheme: Arc<str>, claims: &Members) -> Identity {
    let mut user = Identity::new(scheme);
    for (name, value) in &claims.0 {
        match value {
            Value::Array(all) => all.iter().for_each(|one| add(&mut user, name, one)),
            one => add(&mut user, name, one),
        }
    }
    user
}

fn add(user: &mut Identity, name: &str, value: &Value) {
    match value {
        Value::String(text) => user.add(name, text),
        Value::Null => user.add(name, ""),
        other => user.add(name, &other.to_string()),
    }
}

fn weight(token: &[u8], known: &Known) -> u32 {
    let claims: usize = known.user.claims().iter().map(|c| c.name.len() + c.value.len() + 64).sum();
    u32::try_from(token.len() + claims + 256).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
