//! The schemes that verify the tokens of statements: those of `AuthenticationSchemes`, with the same memory.

use crate::{
    base::clock::Clock,
    net::background::BackgroundRuntime,
    stages::authentication::{
        settings::SchemeConfig,
        state::{AuthState, Scheme},
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Maximum number of schemes; expressions may name tenants and issuers.
const MAX_SCHEMES: usize = 1024;

/// Schemes by their settings. They are kept while a plan has them.
#[derive(Debug)]
pub struct TokenSchemes {
    state: Arc<AuthState>,
    background: BackgroundRuntime,
    clock: Clock,
    known: Mutex<HashMap<Arc<SchemeConfig>, Arc<Scheme>>>,
}

impl TokenSchemes {
    /// No schemes yet; `state` outlives the plan.
    pub fn new(state: Arc<AuthState>, background: BackgroundRuntime, clock: Clock) -> TokenSchemes {
        TokenSchemes { state, background, clock, known: Mutex::default() }
    }

    /// The scheme with these settings.
    pub fn scheme(&self, settings: &Arc<SchemeConfig>) -> Arc<Scheme> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_SCHEMES {
            known.clear();
        }
        let make = || self.state.scheme(settings, &self.background, &self.clock);
        known.entry(settings.clone()).or_insert_with(make).clone()
    }
}
