//! The one writer: a thread with its own runtime, which writes what has collected since the last transaction.

use super::{DatabaseConfig, Durability, EntityRow, QuotaRow, StoredRows, cipher::Cipher, lock, schema};
use crate::base::data_directory::DataDirectory;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    collections::HashMap,
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Notify, oneshot};

/// How long counts collect before they are written, without `Strict`.
const BATCH_INTERVAL: Duration = Duration::from_millis(50);
/// How long the writer waits after a failed transaction.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How long a transaction waits for another process that uses the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What waits to be written.
#[derive(Debug, Default)]
struct Pending {
    /// The newest count of each quota.
    quotas: HashMap<Box<str>, QuotaRow>,
    /// Calls that wait until their counts are durable.
    waiting: Vec<oneshot::Sender<()>>,
    entities: Vec<EntityBatch>,
    is_stopping: bool,
}

/// Entities that are written together.
#[derive(Debug)]
struct EntityBatch {
    rows: Vec<EntityRow>,
    written: std::sync::mpsc::Sender<Result<(), String>>,
}

/// The database of the process.
#[derive(Debug)]
pub struct Database {
    durability: Durability,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held while the file is in use.
    _lock: File,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Notify,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Database {
    /// Opens the file, or makes it, and starts the writer.
    ///
    /// # Errors
    /// A sentence with the cure: the file cannot be opened, is damaged, or is newer.
    pub fn open(config: &DatabaseConfig) -> Result<(Arc<Database>, StoredRows), String> {
        let path = config.directory.join(&config.file);
        let failed = |error: &dyn std::fmt::Display| format!("the store {}: {error}", path.display());
        let directory = DataDirectory::new(&config.directory);
        let cipher = Cipher::open(&directory).map_err(|error| failed(&error))?;
        let lock = lock::shared(&path).map_err(|error| failed(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(&error))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(match config.durability {
                Durability::Batched => SqliteSynchronous::Normal,
                Durability::Strict => SqliteSynchronous::Full,
            });
        let (pool, rows) = runtime
            .block_on(async {
                let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
                let pool = pool.map_err(|error| error.to_string())?;
                schema::migrate(&pool).await?;
                let rows = schema::load(&pool, &cipher, now()).await?;
                Ok::<_, String>((pool, rows))
            })
            .map_err(|error| {
                failed(&format!("{error}; restore a backup with `margay store restore FILE`"))
            })?;
        let shared = Arc::<Shared>::default();
        let writer = Writer { shared: shared.clone(), pool, cipher, durability: config.durability };
        let thread = std::thread::Builder::new()
            .name("database".into())
            .spawn(move || runtime.block_on(writer.run()))
            .map_err(|error| failed(&error))?;
        let thread = Mutex::new(Some(thread));
        Ok((Arc::new(Database { durability: config.durability, shared, thread, _lock: lock }), rows))
    }

    /// Saves the count of a quota; with `Strict` the receiver ends when it is durable.
    pub fn save_quota(&self, name: &str, row: QuotaRow) -> Option<oneshot::Receiver<()>> {
        let mut pending = self.shared.pending();
        pending.quotas.insert(name.into(), row);
        let durable = (self.durability == Durability::Strict).then(|| {
            let (written, durable) = oneshot::channel();
            pending.waiting.push(written);
            durable
        });
        drop(pending);
        self.shared.changed.notify_one();
        durable
    }

    /// Saves entities, and waits until they are durable. Not for use on a worker.
    ///
    /// # Errors
    /// A sentence: the database cannot be written.
    pub fn save_entities(&self, rows: Vec<EntityRow>) -> Result<(), String> {
        let (written, result) = std::sync::mpsc::channel();
        self.shared.pending().entities.push(EntityBatch { rows, written });
        self.shared.changed.notify_one();
        result.recv_timeout(BUSY_TIMEOUT * 2).unwrap_or_else(|_| Err("the store does not respond".to_owned()))
    }

    /// Writes what is left, and ends the writer.
    pub fn stop(&self) {
        self.shared.pending().is_stopping = true;
        self.shared.changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(_)) = thread.map(JoinHandle::join) {
            log::error!("the writer of the store has ended with an error");
        }
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

struct Writer {
    shared: Arc<Shared>,
    pool: SqlitePool,
    cipher: Cipher,
    durability: Durability,
}

impl Writer {
    async fn run(self) {
        loop {
            let is_empty = {
                let pending = self.shared.pending();
                let is_empty = pending.quotas.is_empty() && pending.entities.is_empty();
                if is_empty && pending.is_stopping {
                    break;
                }
                is_empty
            };
            if is_empty {
                self.shared.changed.notified().await;
            }
            self.collect().await;
            let taken = {
                let mut pending = self.shared.pending();
                let is_stopping = pending.is_stopping;
                std::mem::replace(&mut *pending, Pending { is_stopping, ..Pending::default() })
            };
            self.write(taken).await;
        }
        self.pool.close().await;
    }

    /// Counts of several calls are one transaction; entities are written at once.
    async fn collect(&self) {
        let waits = {
            let pending = self.shared.pending();
            self.durability == Durability::Batched && pending.entities.is_empty() && !pending.is_stopping
        };
        if waits {
            let _ = tokio::time::timeout(BATCH_INTERVAL, self.shared.changed.notified()).await;
        }
    }

    async fn write(&self, taken: Pending) {
        let Pending { quotas, waiting, entities, .. } = taken;
        if let Err(error) = self.write_quotas(&quotas).await {
            log::error!("the store cannot be written: {error}; quotas count in memory");
            tokio::time::sleep(RETRY_INTERVAL).await;
            let mut pending = self.shared.pending();
            if !pending.is_stopping {
                for (name, row) in quotas {
                    pending.quotas.entry(name).or_insert(row);
                }
            }
        }
        for call in waiting {
            let _ = call.send(());
        }
        for EntityBatch { rows, written } in entities {
            let result = self.write_entities(&rows).await;
            let _ = written.send(result);
        }
    }

    async fn write_quotas(&self, quotas: &HashMap<Box<str>, QuotaRow>) -> Result<(), sqlx::Error> {
        if quotas.is_empty() {
            return Ok(());
        }
        let mut transaction = self.pool.begin().await?;
        schema::save_quotas(&mut transaction, quotas.iter().map(|(name, row)| (name.clone(), *row))).await?;
        transaction.commit().await
    }

    async fn write_entities(&self, rows: &[EntityRow]) -> Result<(), String> {
        let mut transaction = self.pool.begin().await.map_err(|error| error.to_string())?;
        schema::save_entities(&mut transaction, &self.cipher, rows).await?;
        transaction.commit().await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &tempfile::TempDir, durability: Durability) -> DatabaseConfig {
        DatabaseConfig { directory: folder.path().into(), file: "margay.db".into(), durability }
    }

    #[test]
    fn what_was_saved_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let row = QuotaRow { start: 5, end: i64::MAX, calls: 3, bytes: 7 };
        let entity = |body: Option<&str>| EntityRow {
            kind: "Products".into(),
            id: "gold".into(),
            body: body.map(str::to_owned),
        };
        let (database, rows) = Database::open(&config(&folder, Durability::Batched)).unwrap();
        assert!(rows.entities.is_empty() && rows.quotas.is_empty());
        assert!(database.save_quota("k", row).is_none());
        database.save_entities(vec![entity(Some("{}"))]).unwrap();
        database.stop();
        let (database, rows) = Database::open(&config(&folder, Durability::Strict)).unwrap();
        assert_eq!(rows.quotas, [("k".to_owned(), row)]);
        assert_eq!(rows.entities, [entity(Some("{}"))]);
        let durable = database.save_quota("k", QuotaRow { calls: 4, ..row }).unwrap();
        durable.blocking_recv().unwrap();
        database.save_entities(vec![entity(None)]).unwrap();
        drop(database);
        let (database, rows) = Database::open(&config(&folder, Durability::Strict)).unwrap();
        assert_eq!((rows.quotas[0].1.calls, rows.entities.len()), (4, 0));
        database.stop();
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("margay.db"), vec![b'x'; 8192]).unwrap();
        let error = Database::open(&config(&folder, Durability::Batched)).unwrap_err();
        assert!(error.contains("margay.db"), "{error}");
    }
}
