//! Keys that a provider publishes: fetched in the background, kept while the provider is away, fetched anew when a
//! token names a key that nobody knows.

use super::{
    keys::{KeyData, KeySet},
    settings::RemoteKeys,
};
use crate::{
    base::url::HttpUrl,
    net::{
        background::BackgroundRuntime,
        http_client::{self, RequestLimits},
        tls::trust::TrustAnchors,
    },
};
use arc_swap::ArcSwapOption;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

/// What one fetch may cost.
const FETCH_LIMITS: RequestLimits = RequestLimits { timeout: Duration::from_secs(5), max_body: 1 << 20 };
/// How long a request waits for keys at most, beyond the pause between two fetches.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(6);
/// Requests that wait for keys at one time; more are refused at once.
const MAX_WAITERS: usize = 4096;
/// The longest pause after failures, when nobody asks.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The way to ask a provider.
pub trait Fetch: Send + Sync + fmt::Debug {
    fn get(
        &self,
        url: HttpUrl,
        trust: TrustAnchors,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;
}

/// Over the network.
#[derive(Debug)]
pub struct HttpFetch;

impl Fetch for HttpFetch {
    fn get(
        &self,
        url: HttpUrl,
        trust: TrustAnchors,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>> {
        Box::pin(async move { http_client::get(&url, &trust, FETCH_LIMITS).await })
    }
}

/// How far the fetching got.
#[derive(Clone, Copy, Debug, Default)]
struct FetchRounds {
    started: u64,
    finished: u64,
    /// Whether the last one brought keys.
    succeeded: bool,
}

/// The keys of one provider; the background task that fetches them ends with this.
#[derive(Debug)]
pub struct JwksCache {
    settings: RemoteKeys,
    keys: ArcSwapOption<KeySet>,
    generation: AtomicU64,
    rounds: watch::Sender<FetchRounds>,
    refresh_notify: Arc<Notify>,
    waiters: AtomicUsize,
    fetch_task_started: AtomicBool,
}

impl Drop for JwksCache {
    fn drop(&mut self) {
        self.refresh_notify.notify_one();
    }
}

impl JwksCache {
    /// A provider that nobody asks yet.
    pub fn new(settings: RemoteKeys) -> JwksCache {
        JwksCache {
            settings,
            keys: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            rounds: watch::Sender::default(),
            refresh_notify: Arc::default(),
            waiters: AtomicUsize::new(0),
            fetch_task_started: AtomicBool::new(false),
        }
    }

    /// From now on it is asked; once is enough.
    pub fn start(provider: &Arc<JwksCache>, background: &BackgroundRuntime, fetch: &Arc<dyn Fetch>) {
        if !provider.fetch_task_started.swap(true, Ordering::Relaxed) {
            background.spawn(refresh_task(
                Arc::downgrade(provider),
                provider.refresh_notify.clone(),
                fetch.clone(),
            ));
        }
    }

    /// The keys known now; none while the provider never answered.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// Which keys those are.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Waits for a fetch that begins after this call; says whether it brought keys. Bounded in time and number.
    pub async fn refresh(&self) -> bool {
        if self.waiters.fetch_add(1, Ordering::Relaxed) >= MAX_WAITERS {
            self.waiters.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let _leaves = WaiterGuard(&self.waiters);
        let mut rounds = self.rounds.subscribe();
        let now = *rounds.borrow();
        if now.finished > 0 && self.keys.load().is_none() {
            // It is away since the start, and asked again all the time: what is known of it is fresh.
            return false;
        }
        // The very first fetch is as good as one that begins now.
        let which = if now.finished == 0 { 1 } else { now.started + 1 };
        self.refresh_notify.notify_one();
        let done = rounds.wait_for(|rounds| rounds.finished >= which);
        timeout(self.settings.min_refresh_interval + REFRESH_TIMEOUT, done)
            .await
            .is_ok_and(|done| done.is_ok_and(|done| done.succeeded))
    }

    fn begin(&self) {
        self.rounds.send_modify(|rounds| rounds.started += 1);
    }

    fn finish(&self, fetched: Result<Fetched, String>) {
        let good = match fetched {
            Ok(fetched) => {
                self.publish(&fetched);
                true
            }
            Err(why) => {
                log::warn!("no keys from {}: {why}", self.settings.url);
                false
            }
        };
        self.rounds.send_modify(|rounds| (rounds.finished, rounds.succeeded) = (rounds.started, good));
    }

    fn publish(&self, fetched: &Fetched) {
        let generation = fetched.generation();
        if self.generation() != generation {
            log::info!("{} keys from {}", fetched.keys.len(), self.settings.url);
            let set = KeySet::new(&fetched.keys, fetched.issuer.clone(), generation);
            self.keys.store(Some(Arc::new(set)));
            self.generation.store(generation, Ordering::Release);
        }
    }

    /// How long nobody is asked, unless a token names an unknown key.
    fn min_refresh_delay(&self, failures: u32) -> Duration {
        match (failures, self.keys.load().is_some()) {
            (0, _) => self.settings.refresh,
            (_, false) => self.settings.min_refresh_interval,
            (n, true) => {
                (self.settings.min_refresh_interval * 2u32.saturating_pow(n.min(16))).min(MAX_BACKOFF)
            }
        }
    }
}

struct WaiterGuard<'w>(&'w AtomicUsize);

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Keeps the keys of a provider fresh for as long as somebody holds it.
async fn refresh_task(provider: Weak<JwksCache>, wanted: Arc<Notify>, fetch: Arc<dyn Fetch>) {
    let mut failures = 0;
    loop {
        let Some(settings) = provider.upgrade().map(|provider| {
            provider.begin();
            provider.settings.clone()
        }) else {
            return;
        };
        let fetched = fetch_keys(&settings, &*fetch).await;
        let Some(rest) = provider.upgrade().map(|provider| {
            failures = if fetched.is_ok() { 0 } else { failures + 1 };
            provider.finish(fetched);
            provider.min_refresh_delay(failures)
        }) else {
            return;
        };
        sleep(settings.min_refresh_interval).await;
        let _ = timeout(rest.saturating_sub(settings.min_refresh_interval), wanted.notified()).await;
    }
}

/// What a provider says.
#[derive(Debug, Hash)]
struct Fetched {
    keys: Vec<KeyData>,
    issuer: Option<String>,
}

impl Fetched {
    /// A number for the content; never 0, which stands for nothing.
    fn generation(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish().max(1)
    }
}

async fn fetch_keys(settings: &RemoteKeys, fetch: &dyn Fetch) -> Result<Fetched, String> {
    let (url, issuer) = match settings.use_discovery {
        true => discover(settings, fetch).await?,
        false => (settings.url.clone(), None),
    };
    let text = fetch.get(url, settings.trust.clone()).await?;
    let (keys, unusable) = KeyData::set(&text, false)?;
    match (keys.is_empty(), unusable.first()) {
        (true, Some(why)) => Err(format!("no key of the set is usable; {why}")),
        (true, None) => Err("the key set is empty".to_owned()),
        (false, _) => Ok(Fetched { keys, issuer }),
    }
}

/// OpenID Connect Discovery 1.0, section 4: where the keys are, and who signs with them.
async fn discover(settings: &RemoteKeys, fetch: &dyn Fetch) -> Result<(HttpUrl, Option<String>), String> {
    let place = settings.url.join_path(".well-known/openid-configuration");
    let text = fetch.get(place.clone(), settings.trust.clone()).await?;
    let document: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| format!("{place} is not JSON: {error}"))?;
    let issuer = document["issuer"].as_str().ok_or_else(|| format!("{place} names no issuer"))?;
    let same = |one: &str| one.trim_end_matches('/').to_owned();
    if same(issuer) != same(&settings.url.to_string()) {
        return Err(format!("{place} is of another issuer"));
    }
    let keys = document["jwks_uri"].as_str().ok_or_else(|| format!("{place} names no jwks_uri"))?;
    let keys = HttpUrl::parse(keys).map_err(|why| format!("the jwks_uri of {place} is no address: {why}"))?;
    if settings.url.tls && !keys.tls {
        return Err(format!("the jwks_uri of {place} is not https"));
    }
    Ok((keys, Some(issuer.to_owned())))
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
