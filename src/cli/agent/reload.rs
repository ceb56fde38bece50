//! The services of an agent follow its file: changes of the file and SIGHUP.

use super::{arguments::AgentCommand, settings::AgentSettings};
use crate::{net::agents::agent_side::AgentContext, telemetry::process_log::notice};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Changes that follow one another are read once.
const SETTLE_DELAY: Duration = Duration::from_millis(100);

/// Follows the file until the guard is dropped; without a file only SIGHUP has an effect.
pub fn watch(
    command: AgentCommand,
    context: Arc<AgentContext>,
) -> notify::Result<Option<RecommendedWatcher>> {
    let (changed, mut changes) = mpsc::channel(1);
    let watcher = match &command.config {
        None => None,
        Some(file) => {
            let changed = changed.clone();
            let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.is_ok_and(|event| !event.kind.is_access()) {
                    let _ = changed.try_send(());
                }
            })?;
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            watcher.watch(folder.unwrap_or(Path::new(".")), RecursiveMode::NonRecursive)?;
            Some(watcher)
        }
    };
    let mut hangup = signal(SignalKind::hangup()).map_err(notify::Error::io)?;
    drop(tokio::spawn(async move {
        // The sender stays, so that the channel has no end without a file.
        let _changed = changed;
        loop {
            tokio::select! {
                _ = changes.recv() => tokio::time::sleep(SETTLE_DELAY).await,
                _ = hangup.recv() => {}
            }
            apply(&command, &context);
        }
    }));
    Ok(watcher)
}

fn apply(command: &AgentCommand, context: &AgentContext) {
    match AgentSettings::read(command) {
        Err(why) => notice(&format!("the agent keeps its settings: {why}")),
        Ok(settings) if *settings.services == *context.services() => {}
        Ok(settings) => {
            context.set_services(settings.services);
            notice(&format!("the agent offers {}", context.offer()));
        }
    }
}
