//! Changes of the entities that the store of the gateway contains.

use super::manager::{ConfigManager, ConfigTexts};
use crate::config::StoredEntities;
use crate::control::candidate::Candidate;
use crate::telemetry::Reload;
use std::sync::Arc;

/// Why entities are not changed.
#[derive(Debug)]
pub enum EntityChangeError {
    /// The configuration with them has errors.
    Invalid(Arc<Candidate>),
    /// They cannot be stored, or the plan cannot be made.
    Failed(String),
}

impl ConfigManager {
    /// Applies the active configuration with other entities; `commit` stores them once they are checked.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn change_entities(
        &self,
        entities: StoredEntities,
        commit: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), EntityChangeError> {
        let mut state = self.state();
        let (mut request, stages, _) = state.candidate_source();
        request.entities = Some(Arc::new(entities));
        let is_from_files = state.files.id == state.current.id;
        if !is_from_files {
            request.snapshot = Some(state.current.snapshot.clone());
        }
        let candidate = Arc::new(Candidate::read(&request, &stages));
        let Some(blueprint) = &candidate.blueprint else {
            return Err(EntityChangeError::Invalid(candidate));
        };
        commit().map_err(EntityChangeError::Failed)?;
        (state.apply)(blueprint, &candidate.id).map_err(EntityChangeError::Failed)?;
        state.request.entities = request.entities;
        let texts = ConfigTexts::of(&candidate);
        if is_from_files {
            state.files = texts.clone();
        }
        state.activate(candidate, texts);
        state.metrics.reload(Reload::Applied);
        Ok(())
    }
}
