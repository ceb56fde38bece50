//! `margay store`: check, back up, restore and export the database of a gateway.

use super::configuration::Configuration;
use super::{Exit, output, settings};
use crate::control::{candidate::Candidate, entities::POLICIES};
use crate::stages::custom::StageRegistry;
use crate::state::database::{DatabaseConfig, StoredRows, maintenance};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// The database with the entities that are made at run time, and the counts of quotas.
#[derive(Args, Clone, Debug)]
pub(super) struct Store {
    #[command(subcommand)]
    command: StoreCommand,
    #[command(flatten)]
    configuration: Configuration,
}

#[derive(Clone, Debug, Subcommand)]
enum StoreCommand {
    /// Verify the database, and report what it contains.
    Check,
    /// Copy the database to FILE and its key to FILE.key; the gateway may run.
    Backup {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Put a backup in the place of the database; the gateway must not run.
    Restore {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Write the entities as configuration files, with their keys: gateway.json and policies/.
    Export {
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// Runs a command on the database of a configuration.
pub(super) fn run(store: &Store, stages: &StageRegistry) -> Exit {
    let candidate = Candidate::read(&settings::request(&store.configuration), stages);
    let Some(blueprint) = &candidate.blueprint else {
        output::write_stderr(&candidate.report(settings::color_style()));
        return Exit::Invalid;
    };
    let Some((file, durability)) = blueprint.apis.as_ref().and_then(|apis| apis.store.clone()) else {
        return Exit::failed(
            "the configuration has no store: it has no Apis, or ApiManagement.Store is Memory",
        );
    };
    let config = DatabaseConfig { directory: blueprint.data_directory.clone(), file, durability };
    let result = match &store.command {
        StoreCommand::Check => maintenance::read(&config).map(|rows| report(&rows)),
        StoreCommand::Backup { file } => {
            maintenance::backup(&config, file).map(|()| format!("{}: written\n", file.display()))
        }
        StoreCommand::Restore { file } => {
            maintenance::restore(&config, file).map(|()| format!("{}: restored\n", file.display()))
        }
        StoreCommand::Export { directory } => {
            maintenance::read(&config).and_then(|rows| export(rows, directory))
        }
    };
    match result {
        Ok(text) => {
            output::write_stdout(&text);
            Exit::Done
        }
        Err(error) => Exit::failed(&error),
    }
}

fn report(rows: &StoredRows) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows.entities {
        *kinds.entry(&row.kind).or_default() += 1;
    }
    let mut text: String = kinds.iter().map(|(kind, count)| format!("{kind}: {count}\n")).collect();
    text.push_str(&format!("quotas: {}\n", rows.quotas.len()));
    text
}

/// Writes entities as files of a configuration.
fn export(rows: StoredRows, directory: &Path) -> Result<String, String> {
    let mut sections: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut written = 0;
    for row in rows.entities {
        let Some(body) = row.body else { continue };
        let value: Value =
            serde_json::from_str(&body).map_err(|_| format!("{} {} is damaged", row.kind, row.id))?;
        if row.kind == POLICIES {
            let name = if row.id.ends_with(".xml") { row.id } else { format!("{}.json", row.id) };
            write_private(&directory.join("policies"), &name, value.as_str().unwrap_or_default())?;
        } else {
            sections.entry(row.kind).or_default().insert(row.id, value);
        }
        written += 1;
    }
    let document = serde_json::to_value(&sections).map_err(|error| error.to_string())?;
    write_private(directory, "gateway.json", &format!("{document:#}\n"))?;
    Ok(format!("{}: {written} entities\n", directory.display()))
}

/// Writes a file that only its owner reads: entities contain keys.
fn write_private(directory: &Path, name: &str, text: &str) -> Result<(), String> {
    let is_below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let path = directory.join(name);
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    if !is_below {
        return Err(format!("invalid name of a document \"{name}\""));
    }
    fs::create_dir_all(path.parent().unwrap_or(directory)).map_err(failed)?;
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::database::EntityRow;

    #[test]
    fn entities_are_exported_as_files_of_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let row = |kind: &str, id: &str, body: Value| EntityRow {
            kind: kind.into(),
            id: id.into(),
            body: Some(body.to_string()),
        };
        let entities = vec![
            row("Products", "gold", serde_json::json!({ "Apis": ["orders"] })),
            row(POLICIES, "apis/orders.xml", Value::from("<policies/>")),
        ];
        export(StoredRows { entities, quotas: Vec::new() }, folder.path()).unwrap();
        let document: Value =
            serde_json::from_str(&fs::read_to_string(folder.path().join("gateway.json")).unwrap()).unwrap();
        assert_eq!(document["Products"]["gold"]["Apis"][0], "orders");
        assert_eq!(
            fs::read_to_string(folder.path().join("policies/apis/orders.xml")).unwrap(),
            "<policies/>"
        );
        let outside = vec![row(POLICIES, "../up", Value::from("{}"))];
        assert!(export(StoredRows { entities: outside, quotas: Vec::new() }, folder.path()).is_err());
    }
}
