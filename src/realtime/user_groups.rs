//! Groups of users: every connection of the user is a member, later ones included, until the membership expires.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::AbortHandle;

/// Most memberships of all users together.
const MAX_MEMBERSHIPS: usize = 1_000_000;

/// Service, hub in lower case, and user.
type UserKey = (Arc<str>, Arc<str>, Arc<str>);

/// The memberships of all users.
#[derive(Debug, Default)]
pub struct UserGroups(Mutex<Memberships>);

#[derive(Debug, Default)]
struct Memberships {
    by_user: HashMap<UserKey, BTreeMap<Arc<str>, Membership>>,
    count: usize,
}

#[derive(Debug)]
struct Membership {
    expires_at: Option<Instant>,
    /// Removes the connections of the user from the group.
    expiry: Option<AbortHandle>,
}

impl Membership {
    fn is_valid(&self, now: Instant) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(expiry) = &self.expiry {
            expiry.abort();
        }
    }
}

/// The user of a hub.
#[derive(Clone, Debug)]
pub struct HubUser {
    pub service: Arc<str>,
    pub hub: Arc<str>,
    pub user: Arc<str>,
}

impl HubUser {
    fn key(&self) -> UserKey {
        (self.service.clone(), self.hub.clone(), self.user.clone())
    }
}

impl UserGroups {
    fn lock(&self) -> MutexGuard<'_, Memberships> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a membership; `expiry` ends it after this time. False: there are too many.
    pub fn add(&self, user: &HubUser, group: Arc<str>, expiry: Option<(Duration, AbortHandle)>) -> bool {
        let (ttl, expiry) = expiry.unzip();
        let membership = Membership { expires_at: ttl.map(|ttl| Instant::now() + ttl), expiry };
        let mut memberships = self.lock();
        if memberships.count >= MAX_MEMBERSHIPS {
            return false;
        }
        let groups = memberships.by_user.entry(user.key()).or_default();
        let is_new = groups.insert(group, membership).is_none();
        memberships.count += usize::from(is_new);
        true
    }

    /// Removes a membership; `None`: all of the user.
    pub fn remove(&self, user: &HubUser, group: Option<&str>) {
        let mut memberships = self.lock();
        let memberships = &mut *memberships;
        let key = user.key();
        let Some(groups) = memberships.by_user.get_mut(&key) else { return };
        let before = groups.len();
        match group {
            Some(group) => drop(groups.remove(group)),
            None => groups.clear(),
        }
        memberships.count -= before - groups.len();
        if groups.is_empty() {
            memberships.by_user.remove(&key);
        }
    }

    /// Whether the user is a member.
    pub fn contains(&self, user: &HubUser, group: &str) -> bool {
        let now = Instant::now();
        let memberships = self.lock();
        let groups = memberships.by_user.get(&user.key());
        groups.and_then(|groups| groups.get(group)).is_some_and(|membership| membership.is_valid(now))
    }

    /// The groups of a new connection.
    pub fn of(&self, service: &Arc<str>, hub: &Arc<str>, user: Option<&str>) -> Vec<Arc<str>> {
        let Some(user) = user else { return Vec::new() };
        let now = Instant::now();
        let memberships = self.lock();
        let groups = memberships.by_user.get(&(service.clone(), hub.clone(), user.into()));
        let valid = groups.into_iter().flatten().filter(|(_, membership)| membership.is_valid(now));
        valid.map(|(group, _)| group.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_apply_to_their_user_and_hub_until_they_are_removed() {
        let groups = UserGroups::default();
        let user = |name: &str| HubUser { service: "s".into(), hub: "h".into(), user: name.into() };
        let of = |name| groups.of(&"s".into(), &"h".into(), name).len();
        assert!(groups.add(&user("a"), "g1".into(), None) && groups.add(&user("a"), "g2".into(), None));
        assert!(groups.add(&user("a"), "g2".into(), None));
        assert_eq!((of(Some("a")), of(Some("b")), of(None), groups.lock().count), (2, 0, 0, 2));
        assert!(groups.contains(&user("a"), "g1") && !groups.contains(&user("b"), "g1"));
        groups.remove(&user("a"), Some("g1"));
        assert!(!groups.contains(&user("a"), "g1"));
        groups.remove(&user("a"), None);
        assert_eq!(of(Some("a")), 0);
        let rest = groups.lock();
        assert_eq!((rest.count, rest.by_user.len()), (0, 0));
    }

    #[tokio::test]
    async fn an_expired_membership_does_not_apply() {
        let groups = UserGroups::default();
        let user = HubUser { service: "s".into(), hub: "h".into(), user: "a".into() };
        let expiry = tokio::spawn(std::future::pending::<()>()).abort_handle();
        groups.add(&user, "g".into(), Some((Duration::ZERO, expiry.clone())));
        assert!(!groups.contains(&user, "g"));
        assert!(groups.of(&user.service, &user.hub, Some("a")).is_empty());
        groups.remove(&user, None);
        tokio::task::yield_now().await;
        assert!(expiry.is_finished());
    }
}
