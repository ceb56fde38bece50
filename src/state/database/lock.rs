//! The lock of the database file: gateways share it, a restoration needs it alone.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

fn open(database: &Path) -> Result<File, String> {
    let path = database.with_extension("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    file.map_err(|error| format!("{}: {error}", path.display()))
}

/// The lock of a gateway; it ends with the file.
pub(super) fn shared(database: &Path) -> Result<File, String> {
    let file = open(database)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("the store is being restored: start the gateway afterwards".to_owned())
        }
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

/// The lock of a restoration.
pub(super) fn exclusive(database: &Path) -> Result<File, String> {
    let file = open(database)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("a gateway uses the store: stop it first".to_owned()),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}
