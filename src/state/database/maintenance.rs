//! Check, backup and restoration of the database, by commands.

use super::{DatabaseConfig, StoredRows, cipher, cipher::Cipher, lock, schema};
use crate::base::data_directory::DataDirectory;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Longest key file.
const MAX_KEY_BYTES: u64 = 1024;

/// The file with the key of a backup.
fn key_of(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

fn failed(path: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

/// Runs work on a file of a database; the file must exist.
fn with_pool<R>(path: &Path, work: impl AsyncFnOnce(&SqlitePool) -> Result<R, String>) -> Result<R, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| failed(path, error))?.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let pool = pool.map_err(|error| failed(path, error))?;
        let result = work(&pool).await.map_err(|error| failed(path, error));
        pool.close().await;
        result
    })
}

async fn verify(pool: &SqlitePool) -> Result<(), String> {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(pool)
        .await
        .map_err(|error| error.to_string())?;
    match found.as_slice() {
        [only] if only == "ok" => schema::check_version(pool).await.map(drop),
        problems => Err(format!("the database is damaged: {}", problems.join("; "))),
    }
}

/// Verifies a database and reads what it contains.
///
/// # Errors
/// A sentence: it is damaged, newer, or encrypted with another key.
pub fn read(config: &DatabaseConfig) -> Result<StoredRows, String> {
    let path = config.directory.join(&config.file);
    let cipher = Cipher::open(&DataDirectory::new(&config.directory))?;
    with_pool(&path, async |pool| {
        verify(pool).await?;
        schema::read(pool, &cipher).await
    })
}

/// Copies the database of a gateway, which may run, and its key.
///
/// # Errors
/// A sentence: a file cannot be read or written, or exists already.
pub fn backup(config: &DatabaseConfig, to: &Path) -> Result<(), String> {
    if to.exists() {
        return Err(failed(to, "the file exists already"));
    }
    let path = config.directory.join(&config.file);
    let target = to.to_string_lossy().into_owned();
    with_pool(&path, async |pool| {
        verify(pool).await?;
        let copied = sqlx::query("VACUUM INTO ?1").bind(target).execute(pool).await;
        copied.map(drop).map_err(|error| error.to_string())
    })?;
    let directory = DataDirectory::new(&config.directory);
    let key = directory
        .read(cipher::KEY_FILE_NAME, MAX_KEY_BYTES)
        .map_err(|error| failed(&config.directory, error))?;
    let key = key.ok_or_else(|| failed(&config.directory, "there is no key file"))?;
    write_private(&key_of(to), &key).map_err(|error| failed(&key_of(to), error))
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Puts a backup in the place of the database; no gateway may use it.
///
/// # Errors
/// A sentence: a gateway uses the database, or the backup cannot be read.
pub fn restore(config: &DatabaseConfig, from: &Path) -> Result<(), String> {
    let path = config.directory.join(&config.file);
    let key = fs::read(key_of(from)).map_err(|error| failed(&key_of(from), error))?;
    with_pool(from, verify_in_place)?;
    let _exclusive = lock::exclusive(&path)?;
    let new = path.with_extension("restored");
    fs::copy(from, &new).map_err(|error| failed(&new, error))?;
    fs::File::open(&new).and_then(|file| file.sync_all()).map_err(|error| failed(&new, error))?;
    for end in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(Path::new(&name), error));
            }
            _ => {}
        }
    }
    let directory = DataDirectory::new(&config.directory);
    directory.write(cipher::KEY_FILE_NAME, &key).map_err(|error| failed(&config.directory, error))?;
    fs::rename(&new, &path).map_err(|error| failed(&path, error))
}

async fn verify_in_place(pool: &SqlitePool) -> Result<(), String> {
    verify(pool).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::database::{Database, Durability, EntityRow, QuotaRow};

    #[test]
    fn a_backup_of_a_running_store_is_restored_after_it_has_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let config = DatabaseConfig {
            directory: folder.path().join("data"),
            file: "margay.db".into(),
            durability: Durability::Strict,
        };
        fs::create_dir(&config.directory).unwrap();
        let entity = |id: &str| EntityRow { kind: "Products".into(), id: id.into(), body: Some("{}".into()) };
        let (database, _) = Database::open(&config).unwrap();
        database.save_entities(vec![entity("gold")]).unwrap();
        let count = QuotaRow { start: 0, end: i64::MAX, calls: 7, bytes: 0 };
        database.save_quota("k", count).unwrap().blocking_recv().unwrap();
        let copy = folder.path().join("backup.db");
        backup(&config, &copy).unwrap();
        assert!(backup(&config, &copy).unwrap_err().contains("exists"));
        database.save_entities(vec![entity("silver")]).unwrap();
        assert!(restore(&config, &copy).unwrap_err().contains("uses the store"));
        database.stop();
        drop(database);
        fs::write(config.directory.join("margay.key"), [0; 32]).unwrap();
        restore(&config, &copy).unwrap();
        let rows = read(&config).unwrap();
        assert_eq!((rows.entities, rows.quotas), (vec![entity("gold")], vec![("k".to_owned(), count)]));
        fs::write(&copy, vec![b'x'; 8192]).unwrap();
        assert!(restore(&config, &copy).is_err() && read(&config).is_ok());
    }
}
