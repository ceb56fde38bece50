//! The entities of the process and their database.

use super::data::EntityData;
use crate::{
    config::{Request, render::Style},
    control::{
        candidate::Candidate,
        change::{ConfigManager, EntityChangeError},
    },
    plan::blueprint::Blueprint,
    stages::{custom::StageRegistry, program::counters::Counters},
    state::database::{Database, DatabaseConfig, QuotaRow},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The entities that are made at run time.
#[derive(Debug, Default)]
pub struct EntityStore {
    data: Mutex<EntityData>,
    /// `None`: they are kept in memory.
    database: Option<Arc<Database>>,
    /// The counts of quotas, until the counters of the process take them.
    quotas: Mutex<Vec<(String, QuotaRow)>>,
}

/// Why a change of entities is not made.
#[derive(Debug)]
pub enum EntityError<E> {
    /// The change itself.
    Refused(E),
    /// The configuration with the change has errors.
    Invalid(Arc<Candidate>),
    /// The database cannot be written, or the plan cannot be made; a sentence.
    Unavailable(String),
}

impl EntityStore {
    /// Opens the store of a configuration.
    ///
    /// # Errors
    /// A sentence with the cure: the database cannot be read.
    pub fn open(blueprint: &Blueprint) -> Result<EntityStore, String> {
        let Some((file, durability)) = blueprint.apis.as_ref().and_then(|apis| apis.store.clone()) else {
            return Ok(EntityStore::default());
        };
        let config = DatabaseConfig { directory: blueprint.data_directory.clone(), file, durability };
        let (database, rows) = Database::open(&config)?;
        let data = Mutex::new(EntityData::from_rows(rows.entities)?);
        Ok(EntityStore { data, database: Some(database), quotas: Mutex::new(rows.quotas) })
    }

    fn lock(&self) -> MutexGuard<'_, EntityData> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entities now.
    pub fn data(&self) -> EntityData {
        self.lock().clone()
    }

    /// Lets the counters of programs continue with the stored counts, and store theirs.
    pub fn attach(&self, counters: &Counters) {
        if let Some(database) = &self.database {
            let quotas = std::mem::take(&mut *self.quotas.lock().unwrap_or_else(PoisonError::into_inner));
            counters.attach(database.clone(), quotas);
        }
    }

    /// Changes entities: checks the configuration with the change, stores it, and applies it. Blocks.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn change<R, E>(
        &self,
        manager: &ConfigManager,
        change: impl FnOnce(&mut EntityData) -> Result<R, E>,
    ) -> Result<R, EntityError<E>> {
        let mut data = self.lock();
        let mut next = data.clone();
        let result = change(&mut next).map_err(EntityError::Refused)?;
        if next == *data {
            return Ok(result);
        }
        let rows = next.changes_since(&data);
        let commit = || self.database.as_ref().map_or(Ok(()), |database| database.save_entities(rows));
        manager.change_entities(next.to_stored(), commit).map_err(|error| match error {
            EntityChangeError::Invalid(candidate) => EntityError::Invalid(candidate),
            EntityChangeError::Failed(why) => EntityError::Unavailable(why),
        })?;
        *data = next;
        Ok(result)
    }

    /// Writes what is left; the process ends.
    pub fn stop(&self) {
        if let Some(database) = &self.database {
            database.stop();
        }
    }
}

/// The store, and the initial configuration with its entities.
///
/// # Errors
/// A sentence with the cure.
pub fn load_initial(
    request: &mut Request,
    files: Candidate,
    stages: &StageRegistry,
    style: Style,
) -> Result<(Candidate, Arc<EntityStore>), String> {
    let Some(blueprint) = &files.blueprint else { return Ok((files, Arc::default())) };
    let store = EntityStore::open(blueprint)?;
    let data = store.data();
    if data.is_empty() {
        return Ok((files, Arc::new(store)));
    }
    request.entities = Some(Arc::new(data.to_stored()));
    let candidate = Candidate::read(request, stages);
    if candidate.blueprint.is_none() {
        let report = candidate.report(style);
        return Err(format!(
            "the entities of the store do not fit the configuration files; correct the files\n{report}"
        ));
    }
    Ok((candidate, Arc::new(store)))
}
