//! `AuthenticationOptions`: callers prove who they are (spec section 15). The schemes of a route are tried in order,
//! the first that succeeds wins, and what was proved stands in the exchange as its user.

mod api_key;
mod basic;
pub mod jwt;
pub mod keys;
mod place;
mod provider;
pub mod settings;
#[cfg(test)]
mod testing;
mod token;

pub use basic::check_hash;
pub use provider::{Fetch, Network};

use crate::{
    base::{clock::Clock, keyed::Keyed},
    pipeline::{
        cause::{Cause, Why},
        exchange::Exchange,
        identity::Identity,
        stage::{Stage, Step},
    },
    wire::background::Background,
};
use api_key::ApiKeys;
use basic::Basic;
use jwt::{Jwt, Keys};
use keys::KeySet;
use provider::Provider;
use settings::{AuthenticationSettings, KeySource, RemoteKeys, SchemeKind, SchemeSettings};
use std::{future::Future, pin::Pin, sync::Arc};

pub const NAME: &str = "authentication";

/// What a scheme says about a request.
pub enum Judged {
    /// There is nothing in the request that this scheme reads.
    Absent,
    Good(Arc<Identity>),
    Bad(Cause),
    /// It cannot be said without waiting.
    Later(Pin<Box<dyn Future<Output = Result<Arc<Identity>, Cause>> + Send>>),
}

/// A scheme at work.
#[derive(Debug)]
enum Scheme {
    Jwt(Arc<Jwt>),
    ApiKey(ApiKeys),
    Basic(Arc<Basic>),
    /// Its name.
    Certificate(Arc<str>),
}

impl Scheme {
    fn judge(&self, x: &Exchange) -> Judged {
        match self {
            Scheme::Jwt(jwt) => jwt.judge(x),
            Scheme::ApiKey(keys) => keys.judge(x),
            Scheme::Basic(basic) => basic.judge(x),
            Scheme::Certificate(name) => match &x.certificate {
                Some(certificate) => Judged::Good(certificate.identity(name)),
                None => Judged::Absent,
            },
        }
    }
}

/// What outlives a plan: schemes with their caches for as long as their settings stay the same, and providers with
/// their keys for as long as somebody names them.
#[derive(Debug)]
pub struct Kept {
    schemes: Keyed<Arc<SchemeSettings>, Scheme>,
    providers: Keyed<RemoteKeys, Provider>,
    fetch: Arc<dyn Fetch>,
}

impl Default for Kept {
    fn default() -> Self {
        Kept::new(Arc::new(Network))
    }
}

impl Kept {
    /// Providers are asked that way.
    pub fn new(fetch: Arc<dyn Fetch>) -> Kept {
        Kept { schemes: Keyed::default(), providers: Keyed::default(), fetch }
    }

    fn scheme(&self, settings: &Arc<SchemeSettings>, background: &Background, clock: &Clock) -> Arc<Scheme> {
        self.schemes.get(settings.clone(), || match &settings.kind {
            SchemeKind::Jwt(jwt) => {
                let keys = match &jwt.keys {
                    KeySource::Fixed(keys) => Keys::Fixed(Arc::new(KeySet::new(keys, None, 0))),
                    KeySource::Remote(remote) => Keys::Remote(self.provider(remote, background)),
                };
                Scheme::Jwt(Arc::new(Jwt::new(&settings.name, (**jwt).clone(), keys, clock.clone())))
            }
            SchemeKind::ApiKey(keys) => Scheme::ApiKey(ApiKeys::new(&settings.name, keys.clone())),
            SchemeKind::Basic(basic) => {
                Scheme::Basic(Arc::new(Basic::new(&settings.name, basic.clone(), background.clone())))
            }
            SchemeKind::Certificate => Scheme::Certificate(settings.name.as_str().into()),
        })
    }

    fn provider(&self, remote: &RemoteKeys, background: &Background) -> Arc<Provider> {
        let provider = self.providers.get(remote.clone(), || Provider::new(remote.clone()));
        Provider::start(&provider, background, &self.fetch);
        provider
    }
}

/// The stage.
#[derive(Clone, Debug)]
pub struct Authentication(Arc<Schemes>);

#[derive(Debug)]
struct Schemes {
    schemes: Box<[Arc<Scheme>]>,
    names: Box<[Box<str>]>,
    /// What a 401 asks for, scheme by scheme; empty under Ocelot.
    challenges: Box<[Challenge]>,
    /// Parameters that are taken out of the query.
    strip: Box<[Box<str>]>,
}

/// The offer of one scheme (RFC 9110 11.6.1).
#[derive(Debug)]
struct Challenge {
    text: String,
    /// RFC 6750 3.1: a bearer token that was refused is told why.
    bearer: bool,
}

impl Authentication {
    pub fn new(
        settings: &AuthenticationSettings,
        kept: &Kept,
        background: &Background,
        clock: &Clock,
    ) -> Authentication {
        let all = || settings.schemes.iter();
        let challenges = all().filter(|_| !settings.ocelot).map(|scheme| challenge(scheme)).collect();
        let strip = all().filter_map(|scheme| match &scheme.kind {
            SchemeKind::Jwt(jwt) => jwt.places.query.as_deref(),
            SchemeKind::ApiKey(keys) => keys.places.query.as_deref(),
            SchemeKind::Basic(_) | SchemeKind::Certificate => None,
        });
        Authentication(Arc::new(Schemes {
            schemes: all().map(|scheme| kept.scheme(scheme, background, clock)).collect(),
            names: all().map(|scheme| scheme.name.as_str().into()).collect(),
            challenges,
            strip: strip.map(Into::into).collect(),
        }))
    }
}

impl Stage for Authentication {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        // Ocelot #633: the preflight of a browser carries no credentials.
        if x.req.method() == b"OPTIONS" {
            return self.0.pass(x, None);
        }
        let (mut bad, mut later) = (None, Vec::new());
        for (at, scheme) in self.0.schemes.iter().enumerate() {
            match scheme.judge(x) {
                Judged::Good(user) => return self.0.pass(x, Some(user)),
                Judged::Bad(cause) => bad = bad.or(Some((at, cause))),
                Judged::Later(wait) => later.push((at, wait)),
                Judged::Absent => {}
            }
        }
        if later.is_empty() {
            return self.0.refuse(bad);
        }
        let schemes = self.0.clone();
        Step::Wait(Box::pin(async move {
            for (at, wait) in later {
                match wait.await {
                    Ok(user) => return Step::Resume(Box::new(move |x| schemes.pass(x, Some(user)))),
                    Err(cause) => bad = bad.or(Some((at, cause))),
                }
            }
            schemes.refuse(bad)
        }))
    }

    fn describe(&self) -> String {
        format!("callers prove who they are: {}", self.0.names.join(", then "))
    }
}

impl Schemes {
    fn pass(&self, x: &mut Exchange, user: Option<Arc<Identity>>) -> Step {
        self.strip.iter().for_each(|name| place::strip(x, name));
        x.user = user;
        Step::Next
    }

    /// The first scheme that found something says why; else nothing was there.
    fn refuse(&self, bad: Option<(usize, Cause)>) -> Step {
        let (at, cause) = match bad {
            Some((at, cause)) => (Some(at), cause),
            None => (None, Cause::new(Why::IdentityMissing, self.missing())),
        };
        if self.challenges.is_empty() || cause.status(false) != 401 {
            return Step::Fail(cause);
        }
        let detail = cause.detail.clone();
        Step::Fail(cause.with(|more| {
            for (own, challenge) in self.challenges.iter().enumerate() {
                let told = challenge.bearer && at == Some(own);
                let error =
                    told.then(|| format!(", error=\"invalid_token\", error_description=\"{detail}\""));
                let line = format!("{}{}", challenge.text, error.unwrap_or_default());
                more.fields.push(("WWW-Authenticate".into(), line));
            }
        }))
    }

    fn missing(&self) -> String {
        format!("the request carries no credentials for {}", self.names.join(" or "))
    }
}

fn challenge(scheme: &SchemeSettings) -> Challenge {
    let realm: String = scheme
        .name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { ' ' })
        .collect();
    let (text, bearer) = match &scheme.kind {
        SchemeKind::Jwt(_) => (format!("Bearer realm=\"{realm}\""), true),
        SchemeKind::ApiKey(_) => (format!("ApiKey realm=\"{realm}\""), false),
        SchemeKind::Basic(_) => (format!("Basic realm=\"{realm}\", charset=\"UTF-8\""), false),
        SchemeKind::Certificate => (format!("ClientCertificate realm=\"{realm}\""), false),
    };
    Challenge { text, bearer }
}

#[cfg(test)]
mod tests;
