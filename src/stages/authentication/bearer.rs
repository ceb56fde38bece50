//! Bearer tokens outside of the stages of a route: servers at the data plane of hubs.

use super::{
    outcome::AuthOutcome,
    settings::SchemeConfig,
    state::{AuthState, Scheme},
};
use crate::{
    base::clock::Clock,
    net::background::BackgroundRuntime,
    pipeline::{
        exchange::{Exchange, Peer},
        head::Head,
    },
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

/// Schemes for tokens in `Authorization`; a token is accepted if one of them accepts it.
#[derive(Clone, Debug)]
pub struct BearerAuthenticator(Arc<[Arc<Scheme>]>);

impl BearerAuthenticator {
    /// Schemes with these settings; `state` shares them with the stages of routes.
    pub fn new(
        settings: &[Arc<SchemeConfig>],
        state: &AuthState,
        background: &BackgroundRuntime,
        clock: &Clock,
    ) -> BearerAuthenticator {
        BearerAuthenticator(settings.iter().map(|scheme| state.scheme(scheme, background, clock)).collect())
    }

    /// Whether one of the schemes accepts the token.
    pub async fn is_accepted(&self, token: &str) -> bool {
        let mut pending = Vec::new();
        {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
            exchange.request = Head::request(b"GET", b"/");
            exchange.request.append(b"Authorization", format!("Bearer {token}").as_bytes());
            for scheme in self.0.iter() {
                match scheme.authenticate(&exchange, None) {
                    AuthOutcome::Authenticated(_) => return true,
                    AuthOutcome::Pending(wait) => pending.push(wait),
                    AuthOutcome::NoCredentials | AuthOutcome::Rejected(_) => {}
                }
            }
        }
        for wait in pending {
            if wait.await.is_ok() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::authentication::settings::SchemeKind;

    #[tokio::test]
    async fn without_an_accepting_scheme_a_token_is_rejected() {
        let settings = [Arc::new(SchemeConfig { name: "tls".to_owned(), kind: SchemeKind::Certificate })];
        let (state, background, clock) =
            (AuthState::default(), BackgroundRuntime::default(), Clock::default());
        for settings in [&settings[..], &[]] {
            let authenticator = BearerAuthenticator::new(settings, &state, &background, &clock);
            assert!(!authenticator.is_accepted("token").await);
        }
    }
}
