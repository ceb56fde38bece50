//! Signing keys that a provider publishes (JWKS): fetched in the background, kept while the provider is unavailable, and
//! refreshed when a token has an unknown `kid`.

use super::{
    keys::{KeyData, KeySet},
    remote_keys::RemoteKeys,
};
use crate::{
    base::{failure_log::FailureLog, url::HttpUrl},
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
    time::{Instant, sleep, timeout},
};

/// Limits of one fetch.
const FETCH_LIMITS: RequestLimits = RequestLimits { timeout: Duration::from_secs(5), max_body: 1 << 20 };
/// Longest wait of a request for keys, in addition to `min_refresh_interval`.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(6);
/// Requests that wait for keys concurrently; further requests are rejected.
const MAX_WAITERS: usize = 4096;
/// Longest delay after failures without a request for a refresh.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The transport to a provider.
pub trait Fetch: Send + Sync + fmt::Debug {
    fn get(
        &self,
        url: HttpUrl,
        trust: TrustAnchors,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;
}

/// Fetches over HTTP.
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

/// The progress of the fetches.
#[derive(Clone, Copy, Debug, Default)]
struct FetchRounds {
    started: u64,
    finished: u64,
    /// Whether the last one succeeded.
    succeeded: bool,
}

/// The keys of one provider. The refresh task ends when this is dropped.
#[derive(Debug)]
pub struct JwksCache {
    settings: RemoteKeys,
    keys: ArcSwapOption<KeySet>,
    generation: AtomicU64,
    rounds: watch::Sender<FetchRounds>,
    refresh_notify: Arc<Notify>,
    waiters: AtomicUsize,
    fetch_task_started: AtomicBool,
    failures: FailureLog,
}

impl Drop for JwksCache {
    fn drop(&mut self) {
        self.refresh_notify.notify_one();
    }
}

impl JwksCache {
    /// A cache without a refresh task.
    pub fn new(settings: RemoteKeys) -> JwksCache {
        JwksCache {
            settings,
            keys: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            rounds: watch::Sender::default(),
            refresh_notify: Arc::default(),
            waiters: AtomicUsize::new(0),
            fetch_task_started: AtomicBool::new(false),
            failures: FailureLog::default(),
        }
    }

    /// Starts the refresh task; only the first call has an effect.
    pub fn start(provider: &Arc<JwksCache>, background: &BackgroundRuntime, fetch: &Arc<dyn Fetch>) {
        if !provider.fetch_task_started.swap(true, Ordering::Relaxed) {
            background.spawn(refresh_task(
                Arc::downgrade(provider),
                provider.refresh_notify.clone(),
                fetch.clone(),
            ));
        }
    }

    /// The current keys; `None` until the first successful fetch.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// The generation of the current keys.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Waits for a fetch that begins after this call; returns whether it succeeded. Bounded in time and number of waiters.
    pub async fn refresh(&self) -> bool {
        if self.waiters.fetch_add(1, Ordering::Relaxed) >= MAX_WAITERS {
            self.waiters.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let _waiter = WaiterGuard(&self.waiters);
        let mut rounds = self.rounds.subscribe();
        let now = *rounds.borrow();
        if now.finished > 0 && self.keys.load().is_none() {
            // It is unavailable since the start and polled at the shortest interval: the failure is recent.
            return false;
        }
        // The first fetch counts as one that begins now.
        let round = if now.finished == 0 { 1 } else { now.started + 1 };
        self.refresh_notify.notify_one();
        let reached = rounds.wait_for(|rounds| rounds.finished >= round);
        timeout(self.settings.min_refresh_interval + REFRESH_TIMEOUT, reached)
            .await
            .is_ok_and(|reached| reached.is_ok_and(|reached| reached.succeeded))
    }

    fn begin(&self) {
        self.rounds.send_modify(|rounds| rounds.started += 1);
    }

    fn finish(&self, fetched: Result<FetchedKeys, String>) {
        self.report(fetched.as_ref().err(), Instant::now());
        let succeeded = fetched.inspect(|fetched| self.publish(fetched)).is_ok();
        self.rounds.send_modify(|rounds| (rounds.finished, rounds.succeeded) = (rounds.started, succeeded));
    }

    /// Logs a new failure, a lasting one from time to time, and the recovery; returns whether there is a line.
    fn report(&self, failure: Option<&String>, now: Instant) -> bool {
        let url = &self.settings.url;
        let line = match failure {
            Some(why) => {
                let why = self.failures.record_failure(why, now.into_std());
                why.map(|why| log::warn!("fetching keys from {url} failed: {why}"))
            }
            None => {
                let recovery = self.failures.record_success(now.into_std());
                recovery.map(|recovery| log::info!("fetching keys from {url} {recovery}"))
            }
        };
        line.is_some()
    }

    fn publish(&self, fetched: &FetchedKeys) {
        let generation = fetched.generation();
        if self.generation() != generation {
            log::info!("fetched {} keys from {}", fetched.keys.len(), self.settings.url);
            let set = KeySet::new(&fetched.keys, fetched.issuer.clone(), generation);
            self.keys.store(Some(Arc::new(set)));
            self.generation.store(generation, Ordering::Release);
        }
    }

    /// The delay until the next fetch, unless a token has an unknown key.
    fn refresh_delay(&self, failures: u32) -> Duration {
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

/// Refreshes the keys of a provider as long as its cache exists.
async fn refresh_task(provider: Weak<JwksCache>, refresh_notify: Arc<Notify>, fetch: Arc<dyn Fetch>) {
    let mut failures = 0;
    loop {
        let Some(settings) = provider.upgrade().map(|provider| {
            provider.begin();
            provider.settings.clone()
        }) else {
            return;
        };
        let fetched = fetch_keys(&settings, &*fetch).await;
        let Some(refresh_delay) = provider.upgrade().map(|provider| {
            failures = if fetched.is_ok() { 0 } else { failures + 1 };
            provider.finish(fetched);
            provider.refresh_delay(failures)
        }) else {
            return;
        };
        sleep(settings.min_refresh_interval).await;
        let _ =
            timeout(refresh_delay.saturating_sub(settings.min_refresh_interval), refresh_notify.notified())
                .await;
    }
}

/// A fetched key set.
#[derive(Debug, Hash)]
struct FetchedKeys {
    keys: Vec<KeyData>,
    issuer: Option<String>,
}

impl FetchedKeys {
    /// A hash of the content; never 0, the generation before the first fetch.
    fn generation(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish().max(1)
    }
}

async fn fetch_keys(settings: &RemoteKeys, fetch: &dyn Fetch) -> Result<FetchedKeys, String> {
    let (url, issuer) = match settings.use_discovery {
        true => discover(settings, fetch).await?,
        false => (settings.url.clone(), None),
    };
    let text = fetch.get(url, settings.trust.clone()).await?;
    let (keys, unusable) = KeyData::set(&text, false)?;
    match (keys.is_empty(), unusable.first()) {
        (true, Some(why)) => Err(format!("the key set has no usable key: {why}")),
        (true, None) => Err("the key set is empty".to_owned()),
        (false, _) => Ok(FetchedKeys { keys, issuer }),
    }
}

/// OpenID Connect Discovery 1.0, section 4: the URL of the keys, and the issuer.
async fn discover(settings: &RemoteKeys, fetch: &dyn Fetch) -> Result<(HttpUrl, Option<String>), String> {
    let url = settings.url.join_path(".well-known/openid-configuration");
    let text = fetch.get(url.clone(), settings.trust.clone()).await?;
    let document: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| format!("{url} is not JSON: {error}"))?;
    let issuer = document["issuer"].as_str().ok_or_else(|| format!("{url} has no issuer"))?;
    let without_slash = |one: &str| one.trim_end_matches('/').to_owned();
    if settings.requires_own_issuer && without_slash(issuer) != without_slash(&settings.url.to_string()) {
        return Err(format!("{url} has another issuer: {issuer}; if it is right, set Issuer"));
    }
    let keys = document["jwks_uri"].as_str().ok_or_else(|| format!("{url} has no jwks_uri"))?;
    let keys = HttpUrl::parse(keys).map_err(|why| format!("the jwks_uri of {url} is not a URL: {why}"))?;
    if settings.url.tls && !keys.tls {
        return Err(format!("the jwks_uri of {url} is not https"));
    }
    Ok((keys, Some(issuer.to_owned())))
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
