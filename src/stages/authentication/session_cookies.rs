//! The cookies of sign-in sessions stay in the gateway: no backend gets them, also on routes without the scheme.

use super::{session::cookies, settings::SchemeKind};
use crate::{
    pipeline::{
        exchange::Exchange,
        stage::{Stage, Step},
    },
    stages::{authentication::scheme_set::SchemeSet, feature::ConfiguredStage},
};
use std::sync::Arc;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "session_cookies";

/// Removes the cookies of all schemes of the type `OpenIdConnect`.
#[derive(Clone, Debug)]
pub struct SessionCookies {
    names: Arc<[Box<str>]>,
}

impl SessionCookies {
    /// The cookies of these schemes; `None` if none of them has any, so that requests pass no stage.
    pub fn new(schemes: &SchemeSet) -> Option<SessionCookies> {
        let names = schemes.valid.values().filter_map(|scheme| match &scheme.kind {
            SchemeKind::OpenIdConnect(own) => Some(Box::from(own.cookie.as_str())),
            _ => None,
        });
        let mut names: Vec<Box<str>> = names.collect();
        names.sort_unstable();
        names.dedup();
        (!names.is_empty()).then(|| SessionCookies { names: names.into() })
    }
}

impl Stage for SessionCookies {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        self.names.iter().for_each(|name| cookies::strip(&mut exchange.request, name));
        Step::Next
    }

    fn describe(&self) -> String {
        format!("removes session cookies: {}", self.names.join(", "))
    }
}

impl ConfiguredStage for SessionCookies {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use std::time::Instant;

    #[test]
    fn cookies_of_every_session_scheme_are_removed_and_others_stay() {
        let stage = SessionCookies { names: ["__Host-session".into(), "staff".into()].into() };
        let address = ([127, 0, 0, 1], 1).into();
        let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
        exchange.request.append(b"Cookie", b"theme=dark; __Host-session=2.AAAA; __Host-session-2=BB");
        exchange.request.append(b"Cookie", b"staff=1.CC; staff-login-abc=D; staffx=1");
        assert!(matches!(stage.on_request(&mut exchange), Step::Next));
        let left: Vec<_> = exchange.request.get_all(b"cookie").collect();
        assert_eq!(left, [&b"theme=dark; staffx=1"[..]]);
        assert!(SessionCookies::new(&SchemeSet::default()).is_none());
    }
}
