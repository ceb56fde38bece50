//! What the firewall keeps for the whole process.

use super::config::{WafEngineConfig, WafLogTarget, WafPolicyConfig};
use super::verified::{NameLookups, VerifiedBots};
use crate::net::background::BackgroundRuntime;
use crate::stages::authentication::verification_pool::{PoolLimits, VerificationPool};
use crate::stages::feature::BuildContext;
use crate::stages::rate_limit::store::CounterStore;
use crate::telemetry::access::{AccessLog, AccessLogConfig, FileConfig, LogFormat, OutputConfig};
use crate::telemetry::firewall::{FirewallEngine, FirewallMetrics};
use crate::waf::library::Library;
use crate::waf::policy::compiled::Policy;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// The bytes of requests that wait for a thread.
const MAX_QUEUED_BYTES: usize = 256 << 20;

/// A dry run ends before, and compiles only what it needs.
const PREPARATION_DELAY: Duration = Duration::from_millis(200);

/// The state of the firewall.
#[derive(Debug, Default)]
pub struct WafState {
    /// The counters of custom rules.
    pub counters: Arc<CounterStore>,
    verified: Arc<VerifiedBots>,
    opened: Mutex<Vec<(OpenedKey, Arc<Opened>)>>,
    policies: Mutex<Vec<Weak<Policy>>>,
}

type OpenedKey = (usize, usize, WafLogTarget);

#[derive(Debug)]
struct Opened {
    pool: Arc<VerificationPool>,
    log: Option<Arc<AccessLog>>,
}

/// What the stages of a route share.
#[derive(Clone, Debug)]
pub struct WafShared {
    /// The name of the route.
    pub route: Arc<str>,
    /// The counters of custom rules.
    pub counters: Arc<CounterStore>,
    /// Bots whose names are resolved.
    pub verified: Arc<VerifiedBots>,
    /// Resolves names.
    pub lookups: NameLookups,
    /// The counters of the policies of the route.
    metrics: Arc<[Arc<FirewallMetrics>]>,
    /// The counters of the engine.
    pub engine: Arc<FirewallEngine>,
    opened: Arc<Opened>,
}

impl WafShared {
    /// The threads for long evaluations.
    pub fn pool(&self) -> &Arc<VerificationPool> {
        &self.opened.pool
    }

    /// The counters of a policy; the route has at least one.
    pub fn policy_metrics(&self, name: &str) -> &FirewallMetrics {
        let found = self.metrics.iter().find(|metrics| metrics.label() == name);
        found.unwrap_or(&self.metrics[0])
    }

    /// The log, if there is one.
    pub fn log(&self) -> Option<&AccessLog> {
        self.opened.log.as_deref()
    }
}

impl WafState {
    /// Opens the pool and the log of the engine of a route.
    pub(super) fn open(&self, policies: &[Arc<WafPolicyConfig>], context: &BuildContext) -> WafShared {
        let engine = policies.first().map(|policy| policy.engine.clone());
        let opened = engine.map(|engine| self.opened(&engine, context));
        let opened = opened.unwrap_or_else(|| Arc::new(open(&OpenedSettings::default(), context)));
        policies.iter().for_each(|policy| self.add_policy(policy, context));
        WafShared {
            route: context.route.into(),
            counters: self.counters.clone(),
            verified: self.verified.clone(),
            lookups: NameLookups { dns: context.dns.clone(), background: context.background.clone() },
            metrics: policies.iter().map(|policy| context.metrics.firewall().policy(&policy.name)).collect(),
            engine: context.metrics.firewall().engine().clone(),
            opened,
        }
    }

    /// Counts the rules of a policy, and compiles the expressions of a new library before requests need them.
    fn add_policy(&self, policy: &WafPolicyConfig, context: &BuildContext) {
        let table = context.metrics.firewall();
        table.policy(&policy.name).set_rules(policy.rules.rules.len());
        let mut known = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|policy| policy.strong_count() > 0);
        let all: Vec<Arc<Policy>> = known.iter().filter_map(Weak::upgrade).collect();
        if all.iter().any(|other| Arc::ptr_eq(other, &policy.rules)) {
            return;
        }
        known.push(Arc::downgrade(&policy.rules));
        drop(known);
        let is_new = !all.iter().any(|other| Arc::ptr_eq(&other.library, &policy.rules.library));
        let new = is_new.then(|| policy.rules.library.clone());
        let all = all.into_iter().chain([policy.rules.clone()]).collect();
        prepare(new, all, table.engine().clone(), context.background);
    }

    fn opened(&self, engine: &WafEngineConfig, context: &BuildContext) -> Arc<Opened> {
        let settings = OpenedSettings {
            threads: engine.threads,
            queue_limit: engine.queue_limit,
            log: engine.log.clone(),
        };
        let key = (settings.threads, settings.queue_limit, settings.log.clone());
        let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of earlier plans go when their last request has ended.
        all.retain(|(known, opened)| *known == key || Arc::strong_count(opened) > 1);
        if let Some((_, opened)) = all.iter().find(|(known, _)| *known == key) {
            return opened.clone();
        }
        let opened = Arc::new(open(&settings, context));
        all.push((key, opened.clone()));
        opened
    }
}

/// Compiles expressions, which otherwise happens at their first use, and measures the memory.
fn prepare(
    library: Option<Arc<Library>>,
    policies: Vec<Arc<Policy>>,
    engine: Arc<FirewallEngine>,
    background: &BackgroundRuntime,
) {
    background.spawn(async move {
        tokio::time::sleep(PREPARATION_DELAY).await;
        drop(tokio::task::spawn_blocking(move || {
            library.iter().for_each(|library| library.compile());
            engine.set_memory_bytes(memory_bytes(&policies));
        }));
    });
}

/// The memory of policies and of the libraries that they share.
fn memory_bytes(policies: &[Arc<Policy>]) -> usize {
    let mut libraries: Vec<&Arc<Library>> = Vec::new();
    for policy in policies {
        if !libraries.iter().any(|library| Arc::ptr_eq(library, &policy.library)) {
            libraries.push(&policy.library);
        }
    }
    let rules: usize = libraries.iter().map(|library| library.memory_bytes()).sum();
    rules + policies.iter().map(|policy| policy.memory_bytes()).sum::<usize>()
}

struct OpenedSettings {
    threads: usize,
    queue_limit: usize,
    log: WafLogTarget,
}

impl Default for OpenedSettings {
    fn default() -> Self {
        Self { threads: 1, queue_limit: 1, log: WafLogTarget::Off }
    }
}

fn open(settings: &OpenedSettings, context: &BuildContext) -> Opened {
    let limits = PoolLimits {
        max_parallel: settings.threads,
        max_queued: settings.queue_limit,
        max_queued_bytes: MAX_QUEUED_BYTES,
    };
    let log = log_config(&settings.log).and_then(|config| {
        let opened = context.telemetry.access_log(&config);
        opened.inspect_err(|error| log::warn!("the log of the firewall: {error}")).ok()
    });
    Opened { pool: VerificationPool::new(limits, context.background.clone()), log }
}

/// The log is written like an access log, by the same thread if the destination is the same.
fn log_config(target: &WafLogTarget) -> Option<AccessLogConfig> {
    let output = match target {
        WafLogTarget::Off => return None,
        WafLogTarget::Stdout => OutputConfig::Stdout,
        WafLogTarget::File(path) => {
            OutputConfig::File(FileConfig { path: path.clone(), max_bytes: None, max_files: 1 })
        }
    };
    Some(AccessLogConfig { format: LogFormat::Json, output })
}
