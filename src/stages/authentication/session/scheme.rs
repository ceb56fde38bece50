//! The compiled scheme: keys, provider, opened cookies.

use super::{
    audience_cache::AudienceTokens,
    data::{Session, SessionData, SessionReference},
    provider::Provider,
    seal::Sealer,
    settings::SessionSettings,
    store::SessionStore,
};
use crate::{
    base::clock::Clock,
    net::background::BackgroundRuntime,
    pipeline::error::GatewayError,
    stages::authentication::{
        jwks::JwksCache, replay::ReplayStore, revocations::Revocations, shared_calls::SharedCalls,
        waiting::WaitingLimit,
    },
    state::{PerState, SharedState},
};
use moka::{policy::EvictionPolicy, sync::Cache};
use std::{sync::Arc, time::Duration};

/// Memory for opened cookies of one scheme.
const COOKIE_CACHE_BYTES: u64 = 64 << 20;
/// How long a browser may present a cookie from before a refresh.
const REFRESHED_TTL: Duration = Duration::from_secs(300);
/// Sessions whose refresh is remembered.
const MAX_REFRESHED: u64 = 50_000;
/// How long a sign-in may take.
pub const LOGIN_TTL: Duration = Duration::from_secs(600);
/// Requests that wait for the provider or the shared state.
const MAX_WAITING: usize = 4096;

/// A session before a refresh: its ID and its generation.
pub type RefreshKey = (String, u32);
/// The result of a refresh.
pub type RefreshResult = Result<Arc<Session>, GatewayError>;

/// What a session is before its next refresh.
pub fn refresh_key(session: &Session) -> RefreshKey {
    (session.data.id.clone(), session.data.generation)
}

/// What a cookie contains.
#[derive(Debug)]
pub enum CookieContent {
    Session(Arc<Session>),
    Reference(SessionReference),
}

/// A cookie that was opened.
#[derive(Debug)]
pub struct OpenedCookie {
    text: Box<[u8]>,
    pub content: CookieContent,
    /// Whether the current key sealed it.
    pub is_current: bool,
}

/// The compiled scheme.
#[derive(Debug)]
pub struct SessionScheme {
    pub name: Arc<str>,
    pub settings: SessionSettings,
    pub sealer: Sealer,
    pub provider: Provider,
    pub revocations: Arc<Revocations>,
    pub background: BackgroundRuntime,
    /// States of sign-ins that were completed, and logout tokens.
    pub used: Arc<ReplayStore>,
    pub waiting: WaitingLimit,
    opened: Cache<[u8; 24], Arc<OpenedCookie>>,
    /// Sessions after a refresh, by what they were before.
    pub refreshed: Cache<RefreshKey, Arc<Session>>,
    /// Refreshes in progress.
    pub refreshes: SharedCalls<RefreshKey, RefreshResult>,
    pub audience_tokens: AudienceTokens,
    stores: PerState<SessionStore>,
}

impl SessionScheme {
    /// A scheme that has called nothing yet.
    pub fn new(
        name: &str,
        settings: SessionSettings,
        keys: Arc<JwksCache>,
        revocations: Arc<Revocations>,
        (clock, background): (Clock, BackgroundRuntime),
    ) -> SessionScheme {
        let sealer = Sealer::new(settings.keys_for_cookies.iter().map(|key| key.reveal().trim().as_bytes()));
        let opened = Cache::<[u8; 24], Arc<OpenedCookie>>::builder()
            .max_capacity(COOKIE_CACHE_BYTES)
            .weigher(|_, cookie| cookie.weight())
            .eviction_policy(EvictionPolicy::lru())
            .build();
        SessionScheme {
            name: name.into(),
            provider: Provider::new(&settings, keys, clock.clone()),
            settings,
            sealer,
            revocations,
            background,
            used: Arc::new(ReplayStore::new(LOGIN_TTL * 2, clock.now())),
            waiting: WaitingLimit::new(MAX_WAITING),
            opened,
            refreshed: Cache::builder().max_capacity(MAX_REFRESHED).time_to_live(REFRESHED_TTL).build(),
            refreshes: SharedCalls::default(),
            audience_tokens: AudienceTokens::default(),
            stores: PerState::default(),
        }
    }

    /// The store on a shared state, if sessions are there.
    pub fn store(&self, shared: Option<&Arc<SharedState>>) -> Option<Arc<SessionStore>> {
        let shared = shared.filter(|_| self.settings.is_shared)?;
        let make = || SessionStore::new(&self.name, &self.settings, shared);
        Some(self.stores.get_or_insert_with(shared, make))
    }

    /// What a cookie is sealed for.
    pub fn purpose(&self, kind: &str) -> String {
        format!("{kind} of {}", self.name)
    }

    /// Opens a session cookie; `None` if it is forged, truncated, or of other keys.
    pub fn open(&self, text: &[u8]) -> Option<Arc<OpenedCookie>> {
        // The end of the text is the authentication tag: as unique as the whole.
        let key: [u8; 24] = *text.last_chunk()?;
        if let Some(known) = self.opened.get(&key).filter(|known| *known.text == *text) {
            return Some(known);
        }
        let opened = self.sealer.open(&self.purpose("session"), text)?;
        let content = match self.settings.is_shared {
            true => CookieContent::Reference(serde_json::from_slice(&opened.content).ok()?),
            false => {
                let data = SessionData::from_bytes(&opened.content)?;
                CookieContent::Session(Arc::new(Session::new(&self.name, data)))
            }
        };
        let cookie = OpenedCookie { text: text.into(), content, is_current: opened.is_current };
        let cookie = Arc::new(cookie);
        self.opened.insert(key, cookie.clone());
        Some(cookie)
    }
}

impl OpenedCookie {
    fn weight(&self) -> u32 {
        let content = match &self.content {
            CookieContent::Session(session) => session.weight(),
            CookieContent::Reference(_) => 128,
        };
        content.saturating_add(u32::try_from(self.text.len()).unwrap_or(u32::MAX))
    }
}
