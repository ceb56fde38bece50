//! The tables of the database, their versions, and the statements.

use super::{EntityRow, QuotaRow, StoredRows, cipher::Cipher};
use sqlx::{Sqlite, SqlitePool, Transaction};

/// The version of the tables that this program writes.
const SCHEMA_VERSION: i64 = 1;

/// One migration for each version, oldest first.
const MIGRATIONS: [&str; 1] = [
    "CREATE TABLE entity (kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id)); \
     CREATE TABLE quota (name TEXT NOT NULL PRIMARY KEY, start_time INTEGER NOT NULL, end_time INTEGER NOT NULL, \
     calls INTEGER NOT NULL, bytes INTEGER NOT NULL)",
];

/// Brings the tables to the version of this program.
///
/// # Errors
/// A sentence: the database is newer, or cannot be written.
pub async fn migrate(pool: &SqlitePool) -> Result<(), String> {
    let version = check_version(pool).await?;
    let done = usize::try_from(version).unwrap_or(0);
    for (at, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        let script = format!("BEGIN IMMEDIATE; {migration}; PRAGMA user_version = {}; COMMIT", at + 1);
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(pool).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The version of the tables.
///
/// # Errors
/// A sentence: the database is newer than this program.
pub async fn check_version(pool: &SqlitePool) -> Result<i64, String> {
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(pool).await.map_err(|error| error.to_string())?;
    match version > SCHEMA_VERSION {
        true => Err(format!(
            "the database has version {version}, this program reads up to {SCHEMA_VERSION}: start the newer margay, or \
             restore a backup with `margay store restore FILE`"
        )),
        false => Ok(version),
    }
}

/// Everything that is stored; ended periods are removed.
pub async fn load(pool: &SqlitePool, cipher: &Cipher, now: i64) -> Result<StoredRows, String> {
    let failed = |error: sqlx::Error| error.to_string();
    sqlx::query("DELETE FROM quota WHERE end_time <= ?1").bind(now).execute(pool).await.map_err(failed)?;
    read(pool, cipher).await
}

/// Everything that is stored.
pub async fn read(pool: &SqlitePool, cipher: &Cipher) -> Result<StoredRows, String> {
    let failed = |error: sqlx::Error| error.to_string();
    let quotas: Vec<(String, i64, i64, i64, i64)> =
        sqlx::query_as("SELECT name, start_time, end_time, calls, bytes FROM quota")
            .fetch_all(pool)
            .await
            .map_err(failed)?;
    let entities: Vec<(String, String, String)> =
        sqlx::query_as("SELECT kind, id, body FROM entity").fetch_all(pool).await.map_err(failed)?;
    let open = |(kind, id, body): (String, String, String)| match cipher.unseal(&place(&kind, &id), &body) {
        Some(body) => Ok(EntityRow { kind, id, body: Some(body) }),
        None => Err(format!("{kind} {id} was encrypted with another key: restore the key file")),
    };
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let quota = |(name, start, end, calls, bytes)| {
        (name, QuotaRow { start, end, calls: count(calls), bytes: count(bytes) })
    };
    Ok(StoredRows {
        entities: entities.into_iter().map(open).collect::<Result<_, _>>()?,
        quotas: quotas.into_iter().map(quota).collect(),
    })
}

fn place(kind: &str, id: &str) -> String {
    format!("{kind}/{id}")
}

/// Writes counts.
pub async fn save_quotas(
    transaction: &mut Transaction<'_, Sqlite>,
    quotas: impl IntoIterator<Item = (Box<str>, QuotaRow)>,
) -> Result<(), sqlx::Error> {
    let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    for (name, row) in quotas {
        sqlx::query("INSERT OR REPLACE INTO quota (name, start_time, end_time, calls, bytes) VALUES (?1, ?2, ?3, ?4, ?5)")
            .bind(&*name)
            .bind(row.start)
            .bind(row.end)
            .bind(whole(row.calls))
            .bind(whole(row.bytes))
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Writes or removes entities.
pub async fn save_entities(
    transaction: &mut Transaction<'_, Sqlite>,
    cipher: &Cipher,
    rows: &[EntityRow],
) -> Result<(), String> {
    for EntityRow { kind, id, body } in rows {
        let done = match body {
            Some(body) => {
                let sealed = cipher.seal(&place(kind, id), body)?;
                sqlx::query("INSERT OR REPLACE INTO entity (kind, id, body) VALUES (?1, ?2, ?3)")
                    .bind(kind)
                    .bind(id)
                    .bind(sealed)
                    .execute(&mut **transaction)
                    .await
            }
            None => {
                sqlx::query("DELETE FROM entity WHERE kind = ?1 AND id = ?2")
                    .bind(kind)
                    .bind(id)
                    .execute(&mut **transaction)
                    .await
            }
        };
        done.map_err(|error| error.to_string())?;
    }
    Ok(())
}
