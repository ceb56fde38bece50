//! The shared states of the process, by their settings.

use super::{config::SharedStateConfig, runtime::StateRuntime, shared_state::SharedState};
use crate::{base::weak_map::WeakMap, telemetry::SharedStateMetrics};
use std::sync::{Arc, Mutex, PoisonError};

/// The shared states that plans hold.
#[derive(Debug)]
pub struct SharedStates {
    by_config: WeakMap<SharedStateConfig, SharedState>,
    metrics: Arc<SharedStateMetrics>,
    /// `None`: nothing is connected, for plans that serve no traffic.
    runtime: Option<Mutex<Option<Arc<StateRuntime>>>>,
}

impl SharedStates {
    /// Shared states that never connect.
    pub fn inactive(metrics: Arc<SharedStateMetrics>) -> SharedStates {
        SharedStates { by_config: WeakMap::default(), metrics, runtime: None }
    }

    /// Shared states that connect, on a thread that the first one starts.
    pub fn active(metrics: Arc<SharedStateMetrics>) -> SharedStates {
        SharedStates { by_config: WeakMap::default(), metrics, runtime: Some(Mutex::default()) }
    }

    /// The shared state with these settings, opened unless a plan holds one.
    pub fn get(&self, config: &SharedStateConfig) -> Arc<SharedState> {
        self.by_config.get_or_insert_with(config.clone(), || {
            self.metrics.enable();
            SharedState::open(config.clone(), self.runtime(), self.metrics.clone())
        })
    }

    fn runtime(&self) -> Option<Arc<StateRuntime>> {
        let mut runtime = self.runtime.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        if runtime.is_none() {
            match StateRuntime::start() {
                Ok(started) => *runtime = Some(Arc::new(started)),
                Err(error) => log::error!("shared state: cannot start its thread: {error}"),
            }
        }
        runtime.clone()
    }
}
