//! The groups of a user in the shared state: what changed before the hub had the connection.

use super::link::Link;
use crate::realtime::{
    engine::{JoinResult, connection::Connection},
    hub_user::HubUser,
    shared_groups::SharedGroups,
};
use std::{sync::Arc, time::Duration};

/// How long after a failure the groups are read again: at first, and at most.
const MIN_RETRY_INTERVAL: Duration = Duration::from_millis(250);
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(8);

/// Joins and leaves the groups that changed, or could not be read, before the hub had the connection; later changes reach the
/// connection as operations. Ends when nothing has changed since it was applied.
pub async fn follow_groups(
    link: Arc<Link>,
    connection: Arc<Connection>,
    shared: Arc<SharedGroups>,
    user: HubUser,
) {
    let mut known = link.groups.clone();
    let mut delay = MIN_RETRY_INTERVAL;
    while link.connection().is_some() {
        match shared.of(&user).await {
            Ok(groups) => {
                if !apply(&link, &connection, &known, &groups) {
                    return;
                }
                known = groups;
            }
            Err(_) => {
                tokio::time::sleep(delay).await;
                delay = (2 * delay).min(MAX_RETRY_INTERVAL);
            }
        }
    }
}

/// Whether anything changed.
fn apply(link: &Link, connection: &Arc<Connection>, known: &[Arc<str>], groups: &[Arc<str>]) -> bool {
    let mut is_changed = false;
    for group in groups.iter().filter(|group| !known.contains(group)) {
        is_changed = true;
        if link.hub.join(connection, group) == JoinResult::TooMany {
            log::debug!(
                "a connection of hub {} is in too many groups to join those of its user",
                link.context.name
            );
        }
    }
    for group in known.iter().filter(|group| !groups.contains(group)) {
        is_changed = true;
        link.hub.leave(connection, group);
    }
    is_changed
}
