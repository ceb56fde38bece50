//! Groups of users in the shared state: a sorted set for each user and an index of all memberships, with the end of each membership
//! by the clock of Redis. Every node ends what has expired: a membership ends although the node that added it is gone.

use super::{
    hub_user::HubUser,
    operation::{BackplaneUnavailable, Operation, Operations, Recipients, Selection},
};
use crate::state::{Script, SharedState, StateError, Value};
use futures_util::future::join_all;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_millis(1500);
/// How often a node looks for memberships that have expired.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How long the node that found an expired membership has to end it, before another one does.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);
/// How many memberships one node ends at a time.
const MAX_CLAIMED: usize = 100;

/// Adds a membership, unless there are too many; 1 if it was added.
static ADD: Script = Script::new(
    "if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) and not redis.call('ZSCORE', KEYS[2], ARGV[3]) then
  return 0
end
local ends_at = '+inf'
if ARGV[2] ~= '' then
  local time = redis.call('TIME')
  ends_at = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
end
redis.call('ZADD', KEYS[1], ends_at, ARGV[1])
redis.call('ZADD', KEYS[2], ends_at, ARGV[3])
return 1",
);

/// Removes one membership of a user.
static REMOVE: Script = Script::new(
    "redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('ZREM', KEYS[2], ARGV[2])",
);

/// Removes all memberships of a user.
static REMOVE_ALL: Script = Script::new(
    "for _, group in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  redis.call('ZREM', KEYS[2], ARGV[1] .. group)
end
return redis.call('DEL', KEYS[1])",
);

/// The groups of a user.
static VALID: Script = Script::new(
    "local time = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + 1, '+inf')",
);

/// Memberships that have expired; other nodes do not get them for a while.
static CLAIM: Script = Script::new(
    "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, membership in ipairs(expired) do
  redis.call('ZADD', KEYS[1], now + ARGV[1], membership)
end
return expired",
);

/// Removes a membership that has expired; 0 if it was added again in the meantime.
static END: Script = Script::new(
    "local time = redis.call('TIME')
local ends_at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ends_at and (ends_at == 'inf' or tonumber(ends_at) > time[1] * 1000 + math.floor(time[2] / 1000)) then
  redis.call('ZADD', KEYS[2], ends_at, ARGV[2])
  return 0
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1",
);

/// The memberships of all nodes.
#[derive(Debug)]
pub struct SharedGroups {
    state: Arc<SharedState>,
    /// Most memberships of all users together.
    max_memberships: usize,
    /// The groups of a user could not be read; it is logged once.
    is_failing: AtomicBool,
}

impl SharedGroups {
    /// The memberships in this shared state, at most this many.
    pub fn new(state: Arc<SharedState>, max_memberships: usize) -> SharedGroups {
        SharedGroups { state, max_memberships, is_failing: AtomicBool::new(false) }
    }

    /// Adds a membership for this time, `None`: until it is removed. False: there are too many.
    ///
    /// # Errors
    ///
    /// Without a reply of the shared state, as all functions.
    pub async fn add(&self, user: &HubUser, group: &str, ttl: Option<Duration>) -> Result<bool, StateError> {
        let ttl = ttl.map(|ttl| ttl.as_millis().to_string()).unwrap_or_default();
        let (member, max) = (prefix(user) + group, self.max_memberships.to_string());
        let arguments = [group.to_owned(), ttl, member, max].map(String::into_bytes);
        Ok(self.run(&ADD, user, &arguments).await? == Value::Int(1))
    }

    /// Removes a membership; `None`: all of the user.
    pub async fn remove(&self, user: &HubUser, group: Option<&str>) -> Result<(), StateError> {
        let prefix = prefix(user);
        let removed = match group {
            Some(group) => self.run(&REMOVE, user, &[group.into(), (prefix + group).into()]).await,
            None => self.run(&REMOVE_ALL, user, &[prefix.into()]).await,
        };
        removed.map(drop)
    }

    /// The groups of a user.
    pub async fn of(&self, user: &HubUser) -> Result<Vec<Arc<str>>, StateError> {
        let reply = self.run(&VALID, user, &[]).await.and_then(|reply| texts(&reply));
        match &reply {
            Ok(_) if self.is_failing.swap(false, Relaxed) => {
                log::info!("the groups of SignalR users are known again");
            }
            Err(error) if !self.is_failing.swap(true, Relaxed) => {
                log::warn!(
                    "the groups of SignalR users cannot be read ({error}): their new connections join them later"
                );
            }
            _ => {}
        }
        Ok(reply?.into_iter().map(Arc::from).collect())
    }

    /// Ends the memberships that have expired; how many there were.
    async fn end_expired(&self, operations: &dyn Operations) -> Result<usize, StateError> {
        let arguments = [CLAIM_TIMEOUT.as_millis().to_string().into(), MAX_CLAIMED.to_string().into()];
        let claimed = texts(&self.state.script(&CLAIM, &[self.index()], &arguments, TIMEOUT).await?)?;
        let ending = claimed.iter().filter_map(|member| parse(member));
        join_all(ending.map(|(user, group)| self.end(user, group, operations))).await;
        Ok(claimed.len())
    }

    /// Removes the connections of the user from the group. What fails is repeated after [`CLAIM_TIMEOUT`], by any node.
    async fn end(&self, user: HubUser, group: Arc<str>, operations: &dyn Operations) {
        let groups: Arc<[Arc<str>]> = Arc::from([group.clone()]);
        let whom = Selection::of(Recipients::User(user.user.clone()));
        let leave = Operation::Leave { whom: whom.clone(), groups: Some(groups.clone()) };
        if let Err(BackplaneUnavailable { nodes }) = operations.execute(&user.service, &user.hub, leave).await
        {
            return log::debug!(
                "a membership of a group has not ended on all nodes: {nodes:?} do not respond"
            );
        }
        let member = prefix(&user) + &group;
        let ended = self.run(&END, &user, &[group.as_bytes().into(), member.into()]).await;
        if ended == Ok(Value::Int(0)) {
            let join = Operation::Join { whom, groups };
            let _ = operations.execute(&user.service, &user.hub, join).await;
        }
    }

    async fn run(&self, script: &Script, user: &HubUser, arguments: &[Vec<u8>]) -> Result<Value, StateError> {
        let key = self.state.key("hub", format!("{{user-groups}}:{}", prefix(user)).as_bytes());
        self.state.script(script, &[key, self.index()], arguments, TIMEOUT).await
    }

    /// The key of all memberships.
    fn index(&self) -> Vec<u8> {
        self.state.key("hub", b"{user-groups}")
    }
}

/// Ends the memberships that have expired until they, or the engine, are dropped.
pub async fn end_expired(groups: Weak<SharedGroups>, operations: Weak<dyn Operations>) {
    let mut found = 0;
    loop {
        if found < MAX_CLAIMED {
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        let (Some(groups), Some(operations)) = (groups.upgrade(), operations.upgrade()) else { return };
        // Without a reply the next check finds them.
        found = groups.end_expired(&*operations).await.unwrap_or(0);
    }
}

/// What precedes the group in the name of a membership. Names contain any characters: their lengths separate them.
fn prefix(HubUser { service, hub, user }: &HubUser) -> String {
    format!("{}:{}:{}:{service}{hub}{user}", service.len(), hub.len(), user.len())
}

/// User and group of a membership.
fn parse(member: &str) -> Option<(HubUser, Arc<str>)> {
    let mut parts = member.splitn(4, ':');
    let mut len = || parts.next()?.parse::<usize>().ok();
    let lens = [len()?, len()?, len()?];
    let mut rest = parts.next()?;
    let mut names = lens.into_iter().map(|len| {
        let (name, others) = rest.split_at_checked(len)?;
        rest = others;
        Some(Arc::from(name))
    });
    let user = HubUser { service: names.next()??, hub: names.next()??, user: names.next()?? };
    drop(names);
    Some((user, rest.into()))
}

fn texts(reply: &Value) -> Result<Vec<String>, StateError> {
    let Value::Array(values) = reply else { return Err(StateError::unexpected(reply)) };
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    };
    Ok(values.iter().filter_map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        realtime::operation::{OperationFuture, Outcome},
        state::{SharedStateConfig, SharedStates, testing},
    };
    use std::sync::Mutex;

    /// Records operations; those of nodes that are missing fail.
    #[derive(Debug, Default)]
    struct Recorder {
        operations: Mutex<Vec<String>>,
        is_node_missing: AtomicBool,
    }

    impl Operations for Recorder {
        fn execute(&self, service: &str, hub: &str, operation: Operation) -> OperationFuture {
            let (name, whom, groups) = match operation {
                Operation::Leave { whom, groups } => ("leave", whom, groups.unwrap()),
                Operation::Join { whom, groups } => ("join", whom, groups),
                other => panic!("{other:?}"),
            };
            let Recipients::User(user) = whom.recipients else { panic!("{whom:?}") };
            self.operations.lock().unwrap().push(format!("{name} {service} {hub} {user} {}", groups[0]));
            let is_missing = self.is_node_missing.load(Relaxed);
            Box::pin(async move {
                match is_missing {
                    true => Err(BackplaneUnavailable { nodes: vec!["b".into()] }),
                    false => Ok(Outcome::default()),
                }
            })
        }
    }

    struct Scene {
        server: testing::RedisServer,
        _states: SharedStates,
        state: Arc<SharedState>,
    }

    impl Scene {
        fn new() -> Scene {
            let server = testing::RedisServer::start();
            let (states, state) = testing::connect(&SharedStateConfig::local(server.port));
            Scene { server, _states: states, state }
        }

        fn groups(&self, max_memberships: usize) -> SharedGroups {
            SharedGroups::new(self.state.clone(), max_memberships)
        }
    }

    fn user(name: &str) -> HubUser {
        HubUser { service: "s".into(), hub: "h".into(), user: name.into() }
    }

    fn names(groups: &[Arc<str>]) -> Vec<&str> {
        groups.iter().map(|group| &**group).collect()
    }

    const SHORT: Option<Duration> = Some(Duration::from_millis(50));

    #[test]
    fn memberships_are_named_after_their_user_and_group() {
        let user = HubUser { service: "s:1".into(), hub: "".into(), user: "é:2".into() };
        let member = prefix(&user) + "g:3";
        assert_eq!(parse(&member), Some((user, "g:3".into())));
        for invalid in ["", "1:1:1", "1:1:9:abc", "1:0:1:aé", "x:1:1:abc"] {
            assert_eq!(parse(invalid), None, "{invalid}");
        }
    }

    #[tokio::test]
    async fn memberships_are_those_of_all_nodes_until_they_expire_or_are_removed() {
        let scene = Scene::new();
        let (one, other, ann) = (scene.groups(10), scene.groups(10), user("ann"));
        assert!(one.add(&ann, "kept", None).await.unwrap());
        assert!(one.add(&ann, "short", SHORT).await.unwrap());
        assert_eq!(names(&other.of(&ann).await.unwrap()), ["short", "kept"]);
        assert!(other.of(&user("bob")).await.unwrap().is_empty());
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(names(&other.of(&ann).await.unwrap()), ["kept"]);
        other.remove(&ann, Some("kept")).await.unwrap();
        assert!(one.of(&ann).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn another_node_ends_what_has_expired_and_repeats_what_failed() {
        let scene = Scene::new();
        let (one, other, ann, recorder) =
            (scene.groups(10), scene.groups(10), user("ann"), Recorder::default());
        assert!(one.add(&ann, "short", SHORT).await.unwrap() && one.add(&ann, "kept", None).await.unwrap());
        assert_eq!(other.end_expired(&recorder).await, Ok(0));
        tokio::time::sleep(Duration::from_millis(60)).await;
        recorder.is_node_missing.store(true, Relaxed);
        assert_eq!((other.end_expired(&recorder).await, one.end_expired(&recorder).await), (Ok(1), Ok(0)));
        recorder.is_node_missing.store(false, Relaxed);
        tokio::time::sleep(CLAIM_TIMEOUT).await;
        assert_eq!((one.end_expired(&recorder).await, other.end_expired(&recorder).await), (Ok(1), Ok(0)));
        assert_eq!(*recorder.operations.lock().unwrap(), ["leave s h ann short"; 2]);
        tokio::time::sleep(CLAIM_TIMEOUT).await;
        assert_eq!(one.end_expired(&recorder).await, Ok(0));
        assert_eq!(names(&one.of(&ann).await.unwrap()), ["kept"]);
    }

    #[tokio::test]
    async fn a_membership_that_is_added_again_while_it_ends_remains() {
        let scene = Scene::new();
        let (groups, ann, recorder) = (scene.groups(10), user("ann"), Recorder::default());
        groups.add(&ann, "g", None).await.unwrap();
        groups.end(ann.clone(), "g".into(), &recorder).await;
        assert_eq!(*recorder.operations.lock().unwrap(), ["leave s h ann g", "join s h ann g"]);
        assert_eq!(names(&groups.of(&ann).await.unwrap()), ["g"]);
    }

    #[tokio::test]
    async fn memberships_beyond_the_limit_are_refused_before_they_are_written() {
        let scene = Scene::new();
        let (groups, ann, bob) = (scene.groups(2), user("ann"), user("bob"));
        assert!(groups.add(&ann, "a", None).await.unwrap() && groups.add(&ann, "b", None).await.unwrap());
        assert!(!groups.add(&bob, "c", None).await.unwrap());
        assert!(groups.of(&bob).await.unwrap().is_empty());
        assert!(groups.add(&ann, "a", SHORT).await.unwrap(), "no new membership");
        groups.remove(&ann, None).await.unwrap();
        assert!(groups.add(&bob, "c", None).await.unwrap() && groups.add(&bob, "d", None).await.unwrap());
    }

    #[tokio::test]
    async fn without_a_reply_the_groups_are_unknown_and_not_empty() {
        let mut scene = Scene::new();
        let groups = scene.groups(2);
        scene.server.stop();
        assert!(groups.of(&user("ann")).await.is_err() && groups.is_failing.load(Relaxed));
        assert!(groups.add(&user("ann"), "g", None).await.is_err());
    }
}
