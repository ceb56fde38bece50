//! What was used once and must not be used again within a time: proofs, signatures.

use crate::{
    pipeline::error::{ErrorCode, GatewayError},
    state::{Cmd, OnFailure, SharedState, StateError, Value},
};
use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Entries of one generation, of 16 bytes each.
const MAX_ENTRIES: usize = 500_000;

/// Digests of used values. Each is known for at least the window and at most twice as long.
#[derive(Debug)]
pub struct ReplayStore {
    window: Duration,
    generations: Mutex<Generations>,
}

#[derive(Debug)]
struct Generations {
    current: HashSet<[u8; 16]>,
    previous: HashSet<[u8; 16]>,
    began_at: Instant,
}

/// Whether a value may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstUse {
    Yes,
    No,
    /// Too many values were used within the window.
    Unknown,
}

impl ReplayStore {
    /// An empty store.
    pub fn new(window: Duration, now: Instant) -> ReplayStore {
        let generations = Generations { current: HashSet::new(), previous: HashSet::new(), began_at: now };
        ReplayStore { window, generations: Mutex::new(generations) }
    }

    /// Records a use, unless it is a dry run.
    pub fn record(&self, key: [u8; 16], now: Instant, is_dry_run: bool) -> FirstUse {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.rotate(now, self.window);
        if generations.current.contains(&key) || generations.previous.contains(&key) {
            return FirstUse::No;
        }
        if generations.current.len() >= MAX_ENTRIES {
            return FirstUse::Unknown;
        }
        if !is_dry_run {
            generations.current.insert(key);
        }
        FirstUse::Yes
    }

    /// Records a use here and on the other gateways.
    ///
    /// # Errors
    ///
    /// `identity.replayed` for a second use, 503 if it cannot be known.
    pub async fn record_shared(
        &self,
        key: [u8; 16],
        now: Instant,
        shared: Option<&Arc<SharedState>>,
    ) -> Result<(), GatewayError> {
        first_use(self.record(key, now, false))?;
        let Some(shared) = shared else { return Ok(()) };
        let window_ms = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
        let mut command = Cmd::new();
        command.arg("SET").arg(shared.key("used", &key)).arg("1").arg("NX").arg("PX").arg(window_ms);
        match shared.command(&command, shared.timeout()).await {
            Ok(Value::Okay) => Ok(()),
            Ok(Value::Nil) => first_use(FirstUse::No),
            Ok(other) => without_reply(shared, &StateError::unexpected(&other)),
            Err(error) => without_reply(shared, &error),
        }
    }
}

/// The own store has decided; `SharedState.OnFailure` decides whether that is enough.
fn without_reply(shared: &SharedState, error: &StateError) -> Result<(), GatewayError> {
    match shared.on_failure() {
        OnFailure::Local => Ok(()),
        OnFailure::Refuse => Err(GatewayError::new(
            ErrorCode::StateUnavailable,
            format!("whether the credentials were used before is unknown: {error}"),
        )),
    }
}

/// An error unless it is the first use.
///
/// # Errors
///
/// `identity.replayed`, or `identity.busy`.
pub fn first_use(use_: FirstUse) -> Result<(), GatewayError> {
    match use_ {
        FirstUse::Yes => Ok(()),
        FirstUse::No => {
            Err(GatewayError::new(ErrorCode::IdentityReplayed, "the credentials were used before"))
        }
        FirstUse::Unknown => Err(GatewayError::new(
            ErrorCode::IdentityBusy,
            "too many credentials were used within their window",
        )
        .with_details(|details| details.headers.push(("Retry-After".into(), "10".to_owned())))),
    }
}

impl Generations {
    fn rotate(&mut self, now: Instant, window: Duration) {
        let age = now.saturating_duration_since(self.began_at);
        if age < window {
            return;
        }
        self.previous = mem::take(&mut self.current);
        if age >= window * 2 {
            self.previous.clear();
        }
        self.began_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn a_value_is_accepted_once_within_the_window() {
        let start = Instant::now();
        let store = ReplayStore::new(WINDOW, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(store.record([1; 16], at(50), false), FirstUse::Yes);
        assert_eq!(store.record([1; 16], at(50), false), FirstUse::No);
        assert_eq!(store.record([2; 16], at(50), true), FirstUse::Yes, "a dry run");
        assert_eq!(store.record([2; 16], at(50), false), FirstUse::Yes);
        assert_eq!(store.record([1; 16], at(109), false), FirstUse::No, "after a rotation");
        assert_eq!(store.record([1; 16], at(300), false), FirstUse::Yes);
    }

    #[test]
    fn a_full_store_accepts_nothing() {
        let start = Instant::now();
        let store = ReplayStore::new(WINDOW, start);
        {
            let mut generations = store.generations.lock().unwrap();
            generations.current = (0..MAX_ENTRIES as u128).map(u128::to_be_bytes).collect();
        }
        assert_eq!(store.record([255; 16], start, false), FirstUse::Unknown);
        assert_eq!(store.record([255; 16], start + WINDOW, false), FirstUse::Yes);
    }
}
