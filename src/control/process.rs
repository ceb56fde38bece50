//! The process: from a checked configuration to a gateway that serves, follows changes, and goes down in order.

use super::{
    admin::{self, Desk},
    candidate::Candidate,
    reload::{Reloading, Take},
    store::{self, Slot},
    watch::{self, Watching},
};
use crate::{
    config::{Request, render::Style},
    edge::{
        Gateway,
        listeners::{Listeners, Unbound, leave, rebind},
        local, run,
    },
    plan::{
        Foundation, Plan, activate,
        blueprint::{Blueprint, Listener},
    },
    stages::custom::Catalogue,
    telemetry::{AccessLog, Metrics},
    wire::listen::{Address, Socket, bind},
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
const NAMES: Duration = Duration::from_secs(2);
/// How often plans that nobody holds any more are let go.
const BURIAL: Duration = Duration::from_secs(1);
/// Descriptors that connections of clients leave to everything else.
const SPARE: usize = 512;

/// What the command line says beside the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Instead of the configured listeners; empty: those.
    pub listen: Vec<Address>,
    /// Instead of the configured administration address.
    pub admin: Option<Address>,
    pub threads: usize,
    /// The stages that the program itself adds.
    pub stages: Catalogue,
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
    let log = AccessLog::stdout(settings.threads, metrics.dropped_lines())
        .map_err(|e| format!("no access log: {e}"))?;
    let first = settings.applied_to(blueprint)?;
    let foundation = Foundation::new(metrics.clone(), most_connections());
    let plan = activate(&first, candidate.id.clone(), &foundation)?;
    let listeners = Sender::new(rebound(&Arc::from([]), &plan)?);
    let admin = Sender::new(Arc::new(admin_socket(&first.administration)?));
    announce(&listeners.borrow(), &admin.borrow(), blueprint);
    let gateway = Gateway::new(plan, foundation, log);
    let (threads, admin_sockets, desk) = (settings.threads, admin.subscribe(), admin.subscribe());
    let take =
        taker(gateway.clone(), listeners.clone(), admin, settings.clone(), first.administration.clone());
    let store = Slot::new(request.stored.clone());
    if let Some(kv) = store::of(blueprint) {
        let (slot, seed) = (store.clone(), candidate.loaded.seed.clone());
        gateway.foundation.background.spawn(store::follow(kv, slot, seed, metrics.clone()));
    }
    let (stages, style) = (settings.stages.clone(), settings.style);
    let reloading = Reloading::new(request, store.clone(), stages, style, candidate, take);
    let follow = if blueprint.reload_on_change { candidate.watch.clone() } else { Vec::new() };
    let watching = watch::spawn(follow, store, metrics, reloading.reloader())
        .map_err(|e| format!("no watch over the files: {e}"))?;
    let background = background(gateway.clone(), admin_sockets);
    run::run(gateway, listeners, threads, background, Box::pin(stopped(watching)));
    desk.borrow().remove();
    Ok(())
}

impl Settings {
    /// Flags win over the document.
    fn applied_to(&self, blueprint: &Blueprint) -> Result<Blueprint, String> {
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

fn rebound(old: &Listeners, plan: &Plan) -> Result<Listeners, String> {
    rebind(old, &plan.listeners).map_err(|Unbound { name, address, error }| {
        format!(
            "cannot listen on {address} (listener \"{name}\"): {error}; {} with --listen, MARGAY_LISTEN or Listeners in \
             the configuration",
            address.cure(&error)
        )
    })
}

fn admin_socket(address: &Address) -> Result<Socket, String> {
    bind(address, None).map_err(|error| {
        format!(
            "cannot listen on {address} for administration: {error}; {} with --admin, MARGAY_ADMIN or Administration \
             in the configuration",
            address.cure(&error)
        )
    })
}

fn announce(listeners: &Listeners, admin: &Socket, blueprint: &Blueprint) {
    for listener in listeners.iter() {
        let scheme = if listener.plan().tls.is_some() { "https" } else { "http" };
        eprintln!("margay: serving {} routes on {}", blueprint.routes.len(), listener.address().url(scheme));
    }
    if let Ok(address) = admin.address() {
        eprintln!("margay: {} on {}", admin::pages(address.is_local()), address.url("http"));
    }
}

/// What takes a new blueprint into service; called on the watcher's thread, which may wait.
fn taker(
    gateway: Arc<Gateway>,
    listeners: Sender<Listeners>,
    admin: Sender<Arc<Socket>>,
    settings: Settings,
    mut administration: Address,
) -> Take {
    Box::new(move |blueprint, id| {
        let blueprint = settings.applied_to(blueprint)?;
        let plan = activate(&blueprint, id.to_owned(), &gateway.foundation)?;
        let bound = rebound(&listeners.borrow().clone(), &plan)?;
        // As written, not as bound: port 0 stays where it was given.
        let moved = blueprint.administration != administration;
        let desk = moved.then(|| admin_socket(&blueprint.administration)).transpose()?;
        let until = Instant::now() + NAMES;
        while !plan.is_resolved() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        gateway.swap(plan);
        leave(&listeners.send_replace(bound.clone()), &bound);
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
    mut sockets: Receiver<Arc<Socket>>,
) -> impl FnOnce() -> run::Task + Send {
    move || {
        Box::pin(async move {
            let mut burial = tokio::time::interval(BURIAL);
            let mut desk = open(&mut sockets, &gateway);
            loop {
                tokio::select! {
                    _ = burial.tick() => gateway.bury(),
                    changed = sockets.changed() => {
                        if changed.is_err() {
                            return std::future::pending().await;
                        }
                        desk.abort();
                        desk = open(&mut sockets, &gateway);
                    }
                }
            }
        })
    }
}

fn open(sockets: &mut Receiver<Arc<Socket>>, gateway: &Arc<Gateway>) -> tokio::task::JoinHandle<()> {
    let socket = sockets.borrow_and_update().clone();
    let here = socket.address().is_ok_and(|address| address.is_local());
    let gateway = gateway.clone();
    let handler: local::Handler = Arc::new(move |head| {
        let (plan, cache) = (gateway.plan.load(), &*gateway.foundation.kept.cache);
        let inside = here.then_some((&**plan, cache));
        let of = Desk { draining: gateway.drain.is_on(), metrics: gateway.metrics(), inside };
        admin::answer(head, &of)
    });
    tokio::spawn(async move {
        if let Err(error) = local::serve(&socket, handler).await {
            log::error!("the administration address is not served: {error}");
        }
    })
}

/// Until SIGTERM or SIGINT; gives back what waits for a second one, which ends the process without more patience.
async fn stopped(watching: Watching) -> run::Task {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        log::error!("signals cannot be waited for");
        return Box::pin(std::future::ready(()));
    };
    next(&mut terminate, &mut interrupt).await;
    eprintln!("margay: no new connections; finishing what is in flight");
    drop(watching);
    Box::pin(async move { next(&mut terminate, &mut interrupt).await })
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Connections that the process may hold: the descriptor limit, raised as far as it goes, less some for the rest.
fn most_connections() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(SPARE).max(64)
}
