//! Groups of users: every connection of the user is a member, later ones included, until the membership expires. Several nodes
//! keep the memberships in the shared state, one node in this process.

use super::{hub_user::HubUser, shared_groups::SharedGroups};
use crate::state::StateError;
use arc_swap::ArcSwapOption;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::AbortHandle;

/// Most memberships of all users together.
pub const MAX_MEMBERSHIPS: usize = 1_000_000;

/// The memberships of all users.
#[derive(Debug, Default)]
pub struct UserGroups {
    own: Mutex<Memberships>,
    /// Those of all nodes; `None`: there is one node.
    shared: ArcSwapOption<SharedGroups>,
}

#[derive(Debug, Default)]
struct Memberships {
    by_user: HashMap<HubUser, BTreeMap<Arc<str>, Membership>>,
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

impl UserGroups {
    fn lock(&self) -> MutexGuard<'_, Memberships> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the memberships in the shared state; `None`: in this process.
    pub fn share(&self, shared: Option<Arc<SharedGroups>>) {
        self.shared.store(shared);
    }

    /// The memberships of all nodes; `None`: there is one node.
    pub fn shared(&self) -> Option<Arc<SharedGroups>> {
        self.shared.load_full()
    }

    /// Adds a membership of this process; `expiry` ends it after this time. False: there are too many.
    pub fn add(&self, user: &HubUser, group: Arc<str>, expiry: Option<(Duration, AbortHandle)>) -> bool {
        let (ttl, expiry) = expiry.unzip();
        let membership = Membership { expires_at: ttl.map(|ttl| Instant::now() + ttl), expiry };
        let mut memberships = self.lock();
        if memberships.count >= MAX_MEMBERSHIPS {
            return false;
        }
        let groups = memberships.by_user.entry(user.clone()).or_default();
        let is_new = groups.insert(group, membership).is_none();
        memberships.count += usize::from(is_new);
        true
    }

    /// Removes a membership; `None`: all of the user.
    ///
    /// # Errors
    ///
    /// Without a reply of the shared state, as all functions that use it.
    pub async fn remove(&self, user: &HubUser, group: Option<&str>) -> Result<(), StateError> {
        match self.shared() {
            Some(shared) => shared.remove(user, group).await,
            None => {
                self.remove_own(user, group);
                Ok(())
            }
        }
    }

    /// Removes a membership of this process; `None`: all of the user.
    pub fn remove_own(&self, user: &HubUser, group: Option<&str>) {
        let mut memberships = self.lock();
        let memberships = &mut *memberships;
        let Some(groups) = memberships.by_user.get_mut(user) else { return };
        let before = groups.len();
        match group {
            Some(group) => drop(groups.remove(group)),
            None => groups.clear(),
        }
        memberships.count -= before - groups.len();
        if groups.is_empty() {
            memberships.by_user.remove(user);
        }
    }

    /// Whether the user is a member.
    pub async fn contains(&self, user: &HubUser, group: &str) -> Result<bool, StateError> {
        let groups = match self.shared() {
            Some(shared) => shared.of(user).await?,
            None => self.own(user),
        };
        Ok(groups.iter().any(|known| **known == *group))
    }

    /// The groups of a user in this process; none if the memberships are shared.
    pub fn own(&self, user: &HubUser) -> Vec<Arc<str>> {
        let now = Instant::now();
        if self.shared.load().is_some() {
            return Vec::new();
        }
        let memberships = self.lock();
        let groups = memberships.by_user.get(user);
        let valid = groups.into_iter().flatten().filter(|(_, membership)| membership.is_valid(now));
        valid.map(|(group, _)| group.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> HubUser {
        HubUser { service: "s".into(), hub: "h".into(), user: name.into() }
    }

    #[tokio::test]
    async fn memberships_apply_to_their_user_and_hub_until_they_are_removed() {
        let groups = UserGroups::default();
        let of = |name| groups.own(&user(name)).len();
        assert!(groups.add(&user("a"), "g1".into(), None) && groups.add(&user("a"), "g2".into(), None));
        assert!(groups.add(&user("a"), "g2".into(), None));
        assert_eq!((of("a"), of("b"), groups.lock().count), (2, 0, 2));
        assert!(groups.contains(&user("a"), "g1").await.unwrap());
        assert!(!groups.contains(&user("b"), "g1").await.unwrap());
        groups.remove(&user("a"), Some("g1")).await.unwrap();
        assert!(!groups.contains(&user("a"), "g1").await.unwrap());
        groups.remove(&user("a"), None).await.unwrap();
        assert_eq!(of("a"), 0);
        let rest = groups.lock();
        assert_eq!((rest.count, rest.by_user.len()), (0, 0));
    }

    #[tokio::test]
    async fn an_expired_membership_does_not_apply() {
        let groups = UserGroups::default();
        let user = user("a");
        let expiry = tokio::spawn(std::future::pending::<()>()).abort_handle();
        groups.add(&user, "g".into(), Some((Duration::ZERO, expiry.clone())));
        assert!(!groups.contains(&user, "g").await.unwrap());
        assert!(groups.own(&user).is_empty());
        groups.remove(&user, None).await.unwrap();
        tokio::task::yield_now().await;
        assert!(expiry.is_finished());
    }
}
