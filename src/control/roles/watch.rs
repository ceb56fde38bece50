//! Background work of the directory: registrations that end, and plans for changed public ports.

use crate::{control::change::ConfigManager, server::Gateway};
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// How often registrations are checked.
const INTERVAL: Duration = Duration::from_millis(500);

/// Ends registrations in time, and applies the configuration again when they change public ports.
pub fn follow_registrations(gateway: &Arc<Gateway>, manager: &Arc<ConfigManager>) {
    let background = &gateway.shared_state.background;
    background.spawn(expire(Arc::downgrade(gateway)));
    background.spawn(apply_requests(Arc::downgrade(gateway), Arc::downgrade(manager)));
}

async fn expire(gateway: Weak<Gateway>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(gateway) = gateway.upgrade() else { return };
        let ended = gateway.shared_state.roles.expire(Instant::now());
        if ended.is_empty() {
            continue;
        }
        for (role, id, _) in &ended {
            log::info!("the registration of {role}/{id} ended");
        }
        refresh(&gateway);
        for (role, id, change) in ended {
            gateway.shared_state.roles.publish(&role, Some(&*id).filter(|_| !change.topology));
        }
    }
}

/// Takes changed registrations over into the current plan; the request for another plan, if public ports change.
pub fn refresh(gateway: &Gateway) -> Option<u64> {
    let plan = gateway.plan.load_full();
    let needs_plan = plan.roles.refresh();
    plan.roles.publish_metrics();
    gateway.revoke(&plan);
    needs_plan.then(|| gateway.shared_state.roles.request_apply())
}

async fn apply_requests(gateway: Weak<Gateway>, manager: Weak<ConfigManager>) {
    let Some(mut requests) = gateway.upgrade().map(|gateway| gateway.shared_state.roles.apply_requests())
    else {
        return;
    };
    while requests.changed().await.is_ok() {
        let request = *requests.borrow_and_update();
        let Some(manager) = manager.upgrade() else { return };
        let applied = tokio::task::spawn_blocking(move || manager.apply_again()).await;
        if let Ok(Err(error)) = applied {
            log::warn!("the public ports of role instances are not changed: {error}");
        }
        let Some(gateway) = gateway.upgrade() else { return };
        gateway.shared_state.roles.set_applied(request);
    }
}
