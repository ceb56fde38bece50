//! The process: from a checked configuration to a gateway that serves, follows changes, and goes down in order.

use super::{
    admin::{self, AdminContext},
    candidate::Candidate,
    config_store::{self, StoredConfig},
    reload::{ApplyFn, ReloadState},
    watch::{self, WatchGuard},
};
use crate::{
    config::{Request, render::Style},
    net::listener::{Address, BoundSocket, bind},
    plan::{
        Plan, ProcessState,
        blueprint::{Blueprint, Listener},
        build,
    },
    server::{
        Gateway, admin_server,
        listeners::{BindError, Listeners, unlink_sockets, update},
        run,
    },
    stages::custom::StageRegistry,
    telemetry::{AccessLog, Metrics},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch::{Receiver, Sender},
};

/// How long a new plan waits for the first answers of new names before it serves.
const DNS_WARMUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How often plans that nobody holds any more are let go.
const RETIRE_INTERVAL: Duration = Duration::from_secs(1);
/// Descriptors that connections of clients leave to everything else.
const RESERVED_FDS: usize = 512;

/// What the command line says beside the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Instead of the configured listeners; empty: those.
    pub listen: Vec<Address>,
    /// Instead of the configured administration address.
    pub admin: Option<Address>,
    pub threads: usize,
    /// The stages that the program itself adds.
    pub stages: StageRegistry,
    pub style: Style,
}

/// Serves until a signal ends it. An error is a sentence for people: what failed, and what to do.
pub fn serve(
    request: Request,
    candidate: &Candidate,
    blueprint: &Blueprint,
    settings: Settings,
) -> Result<(), String> {
    let metrics = Metrics::new(settings.threads);
    let log = AccessLog::stdout(settings.threads, metrics.dropped_log_lines())
        .map_err(|e| format!("no access log: {e}"))?;
    let first = settings.override_addresses(blueprint)?;
    let foundation = ProcessState::new(metrics.clone(), max_connections());
    let plan = build(&first, candidate.id.clone(), &foundation)?;
    let listeners = Sender::new(rebind_listeners(&Arc::from([]), &plan)?);
    let admin = Sender::new(Arc::new(admin_socket(&first.administration)?));
    log_started(&listeners.borrow(), &admin.borrow(), blueprint);
    let gateway = Gateway::new(plan, foundation, log);
    let (threads, admin_sockets, desk) = (settings.threads, admin.subscribe(), admin.subscribe());
    let take =
        apply_fn(gateway.clone(), listeners.clone(), admin, settings.clone(), first.administration.clone());
    let store = StoredConfig::new(request.stored.clone());
    if let Some(kv) = config_store::of(blueprint) {
        let (slot, seed) = (store.clone(), candidate.loaded.initial_store_value.clone());
        gateway.shared_state.background.spawn(config_store::watch(kv, slot, seed, metrics.clone()));
    }
    let (stages, style) = (settings.stages.clone(), settings.style);
    let reloading = ReloadState::new(request, store.clone(), stages, style, candidate, take);
    let follow = if blueprint.reload_on_change { candidate.watched_paths.clone() } else { Vec::new() };
    let watching = watch::spawn(follow, store, metrics, reloading.into_reloader())
        .map_err(|e| format!("no watch over the files: {e}"))?;
    let background = background(gateway.clone(), admin_sockets);
    run::run(gateway, listeners, threads, background, Box::pin(shutdown_signal(watching)));
    desk.borrow().remove();
    Ok(())
}

impl Settings {
    /// Flags win over the document.
    fn override_addresses(&self, blueprint: &Blueprint) -> Result<Blueprint, String> {
        let mut blueprint = blueprint.clone();
        if !self.listen.is_empty() {
            if blueprint.by_listener() {
                return Err(
                    "--listen takes the place of the listeners that routes name in Listeners, so that these \
                            routes would answer nowhere; leave --listen and MARGAY_LISTEN out"
                        .to_owned(),
                );
            }
            let named = |(at, address): (usize, &Address)| {
                Listener::plain(format!("--listen {}", at + 1), address.clone(), None)
            };
            blueprint.listeners = self.listen.iter().enumerate().map(named).collect();
        }
        blueprint.administration = self.admin.clone().unwrap_or(blueprint.administration);
        Ok(blueprint)
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

fn admin_socket(address: &Address) -> Result<BoundSocket, String> {
    bind(address, None).map_err(|error| {
        format!(
            "cannot listen on {address} for administration: {error}; {} with --admin, MARGAY_ADMIN or Administration \
             in the configuration",
            address.help(&error)
        )
    })
}

fn log_started(listeners: &Listeners, admin: &BoundSocket, blueprint: &Blueprint) {
    for listener in listeners.iter() {
        let scheme = if listener.plan().tls.is_some() { "https" } else { "http" };
        eprintln!("margay: serving {} routes on {}", blueprint.routes.len(), listener.address().url(scheme));
    }
    if let Ok(address) = admin.address() {
        eprintln!("margay: {} on {}", admin::endpoint_list(address.is_local()), address.url("http"));
    }
}

/// What takes a new blueprint into service; called on the watcher's thread, which may wait.
fn apply_fn(
    gateway: Arc<Gateway>,
    listeners: Sender<Listeners>,
    admin: Sender<Arc<BoundSocket>>,
    settings: Settings,
    mut administration: Address,
) -> ApplyFn {
    Box::new(move |blueprint, id| {
        let blueprint = settings.override_addresses(blueprint)?;
        let plan = build(&blueprint, id.to_owned(), &gateway.shared_state)?;
        let bound = rebind_listeners(&listeners.borrow().clone(), &plan)?;
        // As written, not as bound: port 0 stays where it was given.
        let moved = blueprint.administration != administration;
        let desk = moved.then(|| admin_socket(&blueprint.administration)).transpose()?;
        let until = Instant::now() + DNS_WARMUP_TIMEOUT;
        while !plan.is_resolved() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        gateway.replace_plan(plan);
        unlink_sockets(&listeners.send_replace(bound.clone()), &bound);
        if let Some(desk) = desk {
            admin.send_replace(Arc::new(desk)).remove();
            administration = blueprint.administration;
        }
        Ok(())
    })
}

/// What runs beside the workers: the administration address, and letting go of old plans.
fn background(
    gateway: Arc<Gateway>,
    mut sockets: Receiver<Arc<BoundSocket>>,
) -> impl FnOnce() -> run::Task + Send {
    move || {
        Box::pin(async move {
            let mut burial = tokio::time::interval(RETIRE_INTERVAL);
            let mut desk = bind_listeners(&mut sockets, &gateway);
            loop {
                tokio::select! {
                    _ = burial.tick() => gateway.drop_retired(),
                    changed = sockets.changed() => {
                        if changed.is_err() {
                            return std::future::pending().await;
                        }
                        desk.abort();
                        desk = bind_listeners(&mut sockets, &gateway);
                    }
                }
            }
        })
    }
}

fn bind_listeners(
    sockets: &mut Receiver<Arc<BoundSocket>>,
    gateway: &Arc<Gateway>,
) -> tokio::task::JoinHandle<()> {
    let socket = sockets.borrow_and_update().clone();
    let here = socket.address().is_ok_and(|address| address.is_local());
    let gateway = gateway.clone();
    let handler: admin_server::Handler = Arc::new(move |head| {
        let (plan, cache) = (gateway.plan.load(), &*gateway.shared_state.stage_state.cache);
        let inside = here.then_some((&**plan, cache));
        let of =
            AdminContext { draining: gateway.drain.is_on(), metrics: gateway.metrics(), is_local: inside };
        admin::handle(head, &of)
    });
    tokio::spawn(async move {
        if let Err(error) = admin_server::serve(&socket, handler).await {
            log::error!("the administration address is not served: {error}");
        }
    })
}

/// Until SIGTERM or SIGINT; gives back what waits for a second one, which ends the process without more patience.
async fn shutdown_signal(watching: WatchGuard) -> run::Task {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        log::error!("signals cannot be waited for");
        return Box::pin(std::future::ready(()));
    };
    next_signal(&mut terminate, &mut interrupt).await;
    eprintln!("margay: no new connections; finishing what is in flight");
    drop(watching);
    Box::pin(async move { next_signal(&mut terminate, &mut interrupt).await })
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Connections that the process may hold: the descriptor limit, raised as far as it goes, less some for the rest.
fn max_connections() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(RESERVED_FDS).max(64)
}
