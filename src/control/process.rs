//! The process: from a checked configuration to a gateway that serves, reloads, and shuts down gracefully.

use super::{
    active::ActiveConfig,
    admin::{self, Access, AdminContext, AdminState},
    candidate::Candidate,
    change::{ApplyFn, Baseline, ConfigManager, History, ManagerParts},
    config_store::{self, StoredConfig},
    entities::EntityStore,
    gateway_handle::GatewayHandle,
    log_signal::reopen_logs,
    role_ports, roles, services,
    watch::{self, WatchGuard},
};
use crate::{
    base::data_directory::DataDirectory,
    base::memory,
    config::{Request, render::Style},
    net::{datagram, descriptors, listener::Address, reserved::reserve},
    pipeline::internal::{InternalService, ServiceRegistry},
    plan::{
        ListenerPlan, Plan, ProcessState,
        administration::Administration,
        administration_listener,
        blueprint::{Blueprint, Listener, ListenerProtocol},
        build,
    },
    server::{
        Gateway,
        internal_gateway::internal_gateway,
        listeners::{BindError, Listeners, retire, update},
        run::{self, Served},
    },
    stages::custom::StageRegistry,
    telemetry::{Metrics, process_log::notice},
};
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch::Sender,
};

/// How long a new plan waits for the first resolution of new names before it becomes active.
const DNS_WARMUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How often retired plans without requests are dropped.
const RETIRE_INTERVAL: Duration = Duration::from_secs(1);
/// How long freed memory is kept for reuse; longer than the allocator waits before it may return it.
const RELEASE_DELAY: Duration = Duration::from_secs(2);
/// Maximum number of concurrent connections to the administration address.
const MAX_ADMIN_CONNECTIONS: usize = 64;
/// Beyond this number the health address, which anyone may use, accepts none: the rest is for the administration.
const MAX_HEALTH_CONNECTIONS: usize = 32;
/// The settings of the command line, in addition to the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Replace the configured listeners; empty: use those.
    pub listen: Vec<Address>,
    /// Replaces the configured administration address.
    pub admin: Option<Address>,
    pub threads: usize,
    /// The custom stages of the program.
    pub stages: StageRegistry,
    pub style: Style,
    /// The entities that are made at run time.
    pub entities: Arc<EntityStore>,
}

/// Serves until a signal ends the process.
///
/// # Errors
/// A sentence for the operator: what failed, and the fix.
pub fn serve(
    request: Request,
    candidate: Arc<Candidate>,
    blueprint: &Blueprint,
    settings: Settings,
) -> Result<(), String> {
    datagram::set_group_size(settings.threads);
    let metrics = Metrics::new(settings.threads);
    let first = settings.override_addresses(blueprint)?;
    let handle = GatewayHandle::default();
    let state = ProcessState::new(metrics.clone(), max_connections(settings.threads))
        .with_telemetry()
        .with_shared_state()
        .with_services(services::registry(&handle));
    settings.entities.attach(&state.programs.counters);
    let (plan, listeners) = first_plan(&first, candidate.id.clone(), &state)?;
    let gateway = Gateway::new(plan, state);
    handle.set(&gateway);
    let bound = rebind_admin(&Arc::from([]), &first.administration, &gateway.shared_state)?;
    let state = AdminState::new(Arc::default());
    let administration = Served { gateway: admin_gateway(&handle, &state)?, listeners: Sender::new(bound) };
    log_started(&listeners.borrow(), &administration.listeners.borrow(), blueprint);
    let traffic = Served { gateway, listeners };
    let baseline = Arc::<Baseline>::default();
    let (served, active) = ((&traffic, &administration), &state.active);
    let serving = Serving { traffic: served.0, administration: served.1, active, baseline: &baseline };
    let (manager, watching) = follow_changes(request, candidate, blueprint, &settings, &serving)?;
    state.set_changes(manager.clone(), settings.entities.clone());
    roles::follow_registrations(&traffic.gateway, &manager);
    let background = background(traffic.gateway.clone(), baseline);
    let stop = Box::pin(shutdown_signal(watching));
    // The blueprint of a large configuration takes more memory than its plan.
    drop(first);
    run::run(traffic, administration, settings.threads, background, stop);
    manager.stop();
    settings.entities.stop();
    Ok(())
}

/// The first plan and its listeners.
fn first_plan(
    blueprint: &Blueprint,
    id: String,
    state: &ProcessState,
) -> Result<(Plan, Sender<Listeners>), String> {
    role_ports::load(blueprint, &state.roles);
    let plan = build(blueprint, id, state)?;
    role_ports::save(blueprint, &plan.roles.ports, &state.roles)?;
    let listeners = Sender::new(rebind_listeners(&Arc::from([]), &plan)?);
    state.roles.set_ports(plan.roles.ports.clone());
    Ok((plan, listeners))
}

/// What a reload changes.
struct Serving<'s> {
    traffic: &'s Served,
    administration: &'s Served,
    active: &'s Arc<ActiveConfig>,
    baseline: &'s Arc<Baseline>,
}

/// The history of earlier processes, from the data directory.
fn load_history(blueprint: &Blueprint, gateway: &Gateway) -> History {
    let directory = DataDirectory::new(&blueprint.data_directory);
    History::load(directory, gateway.shared_state.clock.clone(), gateway.metrics().clone())
}

/// Starts watching the files and the configuration store.
fn follow_changes(
    request: Request,
    candidate: Arc<Candidate>,
    blueprint: &Blueprint,
    settings: &Settings,
    serving: &Serving<'_>,
) -> Result<(Arc<ConfigManager>, WatchGuard), String> {
    let Serving { traffic, administration, active, baseline } = *serving;
    let (gateway, metrics) = (&traffic.gateway, traffic.gateway.metrics().clone());
    let apply = apply_fn(
        gateway.clone(),
        traffic.listeners.clone(),
        administration.listeners.clone(),
        settings.clone(),
    );
    let store = StoredConfig::new(request.stored.clone());
    if let Some(kv) = config_store::of(blueprint) {
        let (slot, seed) = (store.clone(), candidate.loaded.initial_store_value.clone());
        gateway.shared_state.background.spawn(config_store::watch(kv, slot, seed, metrics.clone()));
    }
    let paths = if blueprint.reload_on_change { candidate.watched_paths.clone() } else { Vec::new() };
    let history = load_history(blueprint, gateway);
    let manager = ConfigManager::new(ManagerParts {
        request,
        store: store.clone(),
        stages: settings.stages.clone(),
        style: settings.style,
        current: candidate,
        active: active.clone(),
        apply,
        metrics: metrics.clone(),
        history,
        baseline: baseline.clone(),
    });
    let reloader = manager.clone();
    let watching = watch::spawn(paths, store, metrics, Box::new(move |trigger| reloader.reload(trigger)));
    let watching = watching.map_err(|e| format!("cannot watch the configuration files: {e}"))?;
    Ok((manager, watching))
}

/// The gateway of the administration address. The pages depend on the listener in the plan of each connection: no
/// connection to a public address ever reaches the pages of a local one, whatever a reload changes.
fn admin_gateway(handle: &GatewayHandle, state: &Arc<AdminState>) -> Result<Arc<Gateway>, String> {
    let mut pages = ServiceRegistry::default();
    for access in Access::ALL {
        let context = AdminContext { gateway: handle.clone(), access, shared: state.clone() };
        pages.add(InternalService::new(access.name(), admin::router(context)));
    }
    internal_gateway(pages, MAX_ADMIN_CONNECTIONS)
}

impl Settings {
    /// Flags override the document.
    fn override_addresses<'b>(&self, blueprint: &'b Blueprint) -> Result<Cow<'b, Blueprint>, String> {
        if self.listen.is_empty() && self.admin.is_none() {
            return Ok(Cow::Borrowed(blueprint));
        }
        let mut blueprint = blueprint.clone();
        if !self.listen.is_empty() {
            if blueprint.by_listener() {
                return Err(
                    "--listen replaces the listeners that routes reference in Listeners, so that these \
                            routes would have no listener; remove --listen and MARGAY_LISTEN"
                        .to_owned(),
                );
            }
            let named = |(at, address): (usize, &Address)| {
                Listener::plain(format!("--listen {}", at + 1), address.clone())
            };
            // Listeners of transport routes stay.
            blueprint.listeners.retain(|listener| listener.protocol != ListenerProtocol::Http);
            blueprint.listeners.splice(..0, self.listen.iter().enumerate().map(named));
        }
        if let Some(address) = &self.admin {
            let administration =
                Administration { address: address.clone(), ..(*blueprint.administration).clone() };
            if !address.is_local() && !administration.requires_credentials() {
                return Err(format!(
                    "--admin {address} can be reached from other machines and needs credentials; add Administration.Tokens \
                     to the configuration, or use Health.Address for /live, /ready and /metrics"
                ));
            }
            blueprint.administration = Arc::new(administration);
        }
        Ok(Cow::Owned(blueprint))
    }
}

fn rebind_listeners(old: &Listeners, plan: &Plan) -> Result<Listeners, String> {
    update(old, &plan.listeners).map_err(|BindError { name, address, error }| {
        format!(
            "cannot listen on {address} (listener \"{name}\"): {error}; {} with --listen, MARGAY_LISTEN or Listeners in \
             the configuration",
            address.help(&error)
        )
    })
}

fn rebind_admin(
    old: &Listeners,
    administration: &Administration,
    state: &ProcessState,
) -> Result<Listeners, String> {
    let access = Access::for_address(&administration.address);
    let mut plans = vec![administration_listener(access.name(), administration, state)?];
    let health = administration.health.iter();
    plans.extend(health.map(|address| ListenerPlan {
        max_connections: MAX_HEALTH_CONNECTIONS,
        ..ListenerPlan::plain(Access::Health.name(), address.clone())
    }));
    let bound = update(old, &plans).map_err(|BindError { name, address, error }| {
        let setting = match name == Access::Health.name() {
            true => "Health.Address",
            false => "--admin, MARGAY_ADMIN or Administration",
        };
        format!(
            "cannot listen on {address} ({name}): {error}; {} with {setting} in the configuration",
            address.help(&error)
        )
    })?;
    // The health pages may be a target: they show nothing that needs credentials.
    reserve(bound.iter().take(1).map(|listener| listener.address()).collect());
    Ok(bound)
}

fn log_started(listeners: &Listeners, admin: &Listeners, blueprint: &Blueprint) {
    for listener in listeners.iter() {
        let plan = listener.plan();
        let (scheme, address) = (if plan.tls.is_some() { "https" } else { "http" }, listener.address());
        notice(&match plan.protocol {
            ListenerProtocol::Http => {
                format!("serving {} routes on {}", blueprint.routes.len(), address.url(scheme))
            }
            ListenerProtocol::Tcp => format!("forwarding {} on {}", plan.name, address.url("tcp")),
            ListenerProtocol::Udp => format!("forwarding {} on {}", plan.name, address.url("udp")),
            ListenerProtocol::Mqtt => format!("serving devices on {}", address.url("mqtt")),
        });
    }
    for listener in admin.iter() {
        let plan = listener.plan();
        let scheme = if plan.tls.is_some() { "https" } else { "http" };
        notice(&format!("{} on {}", plan.name, listener.address().url(scheme)));
    }
}

/// The function that activates a new blueprint; called on the watcher's thread, which may block.
fn apply_fn(
    gateway: Arc<Gateway>,
    listeners: Sender<Listeners>,
    admin: Sender<Listeners>,
    settings: Settings,
) -> ApplyFn {
    Box::new(move |blueprint, id| {
        let blueprint = settings.override_addresses(blueprint)?;
        let roles = &gateway.shared_state.roles;
        let plan = build(&blueprint, id.to_owned(), &gateway.shared_state)?;
        if let Err(error) = role_ports::save(&blueprint, &plan.roles.ports, roles) {
            log::warn!("{error}");
        }
        let bound = rebind_listeners(&listeners.borrow().clone(), &plan)?;
        let bound_admin =
            rebind_admin(&admin.borrow().clone(), &blueprint.administration, &gateway.shared_state)?;
        let until = Instant::now() + DNS_WARMUP_TIMEOUT;
        while !plan.is_resolved() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        roles.set_ports(plan.roles.ports.clone());
        gateway.replace_plan(plan);
        for (sockets, bound) in [(&listeners, bound), (&admin, bound_admin)] {
            retire(&sockets.send_replace(bound.clone()), &bound);
        }
        Ok(())
    })
}

/// Background tasks: dropping retired plans, reopening log files, recording the recent traffic.
fn background(gateway: Arc<Gateway>, baseline: Arc<Baseline>) -> impl FnOnce() -> run::Task + Send {
    move || {
        Box::pin(async move {
            tokio::spawn(reopen_logs(gateway.shared_state.telemetry.clone()));
            let mut interval = tokio::time::interval(RETIRE_INTERVAL);
            // The start has freed what only it needs of the configuration.
            let mut release_at = Some(Instant::now() + RELEASE_DELAY);
            loop {
                interval.tick().await;
                let now = Instant::now();
                if gateway.drop_retired() {
                    release_at = Some(now + RELEASE_DELAY);
                }
                if release_at.take_if(|at| *at <= now).is_some() {
                    memory::release_freed();
                }
                baseline.tick(now, gateway.metrics());
            }
        })
    }
}

/// Waits for SIGTERM or SIGINT; returns a task that waits for a second one, which ends the drain immediately.
async fn shutdown_signal(watching: WatchGuard) -> run::Task {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        log::error!("cannot wait for signals");
        return Box::pin(std::future::ready(()));
    };
    next_signal(&mut terminate, &mut interrupt).await;
    notice("shutting down: no new connections, draining requests in flight");
    drop(watching);
    Box::pin(async move { next_signal(&mut terminate, &mut interrupt).await })
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Descriptors that the process itself needs, and each of its workers.
const MAX_OWN_DESCRIPTORS: usize = 32;
const MAX_WORKER_DESCRIPTORS: usize = 8;

/// Client connections that the process may hold: a part of the descriptor limit, raised to its maximum.
fn max_connections(threads: usize) -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    let own = MAX_OWN_DESCRIPTORS + threads * MAX_WORKER_DESCRIPTORS;
    descriptors::PROCESS.set_capacity(usize::try_from(limit).unwrap_or(usize::MAX), own).max(64)
}
