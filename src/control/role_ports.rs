//! The file that remembers the public ports of the instances of roles between two starts.

use crate::{
    base::data_directory::DataDirectory,
    plan::{
        blueprint::Blueprint,
        roles::{RoleState, ports::PortMap},
    },
};
use std::path::PathBuf;

/// The name of the file in the data directory.
const FILE_NAME: &str = "role-ports.json";
/// Maximum size of the file.
const MAX_BYTES: u64 = 16 << 20;

/// The directory and the name of the file.
fn location(blueprint: &Blueprint) -> Option<(DataDirectory, String)> {
    let Some(file) = &blueprint.roles.options.state_file else {
        return Some((DataDirectory::new(&blueprint.data_directory), FILE_NAME.to_owned()));
    };
    let name = file.file_name()?.to_str()?.to_owned();
    let directory = file.parent().map_or_else(PathBuf::new, PathBuf::from);
    Some((DataDirectory::new(directory), name))
}

/// Reads the file before the first plan is built. One that cannot be read is reported, and all ports are assigned again.
pub fn load(blueprint: &Blueprint, state: &RoleState) {
    if blueprint.roles.instance_inputs.is_empty() {
        return;
    }
    let Some((directory, name)) = location(blueprint) else { return };
    let read = directory.read(&name, MAX_BYTES).map_err(|error| error.to_string()).and_then(|content| {
        let parse = |content: Vec<u8>| serde_json::from_slice::<PortMap>(&content).map_err(|e| e.to_string());
        content.map(parse).transpose()
    });
    match read {
        Ok(ports) => state.set_ports(ports.unwrap_or_default()),
        Err(error) => {
            let path = directory.path().join(name);
            log::warn!("cannot read {}: {error}; all instances get new public ports", path.display());
        }
    }
}

/// Writes the ports of a plan before its listeners are bound.
///
/// # Errors
///
/// A sentence for the operator.
pub fn save(blueprint: &Blueprint, ports: &PortMap, state: &RoleState) -> Result<(), String> {
    if *ports == state.ports() {
        return Ok(());
    }
    let Some((directory, name)) = location(blueprint) else { return Ok(()) };
    let content = serde_json::to_vec_pretty(ports).map_err(|error| error.to_string())?;
    directory.write(&name, &content).map_err(|error| {
        let path = directory.path().join(&name);
        format!(
            "cannot write the public ports of role instances to {}: {error}; set RoleOptions.StateFile or DataDirectory \
             to a path that the gateway can write",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Environment, InMemoryFiles},
        plan::{compile, document::load_texts},
    };

    fn blueprint(directory: &std::path::Path) -> Blueprint {
        let text = serde_json::json!({
            "RoleOptions": { "StateFile": directory.join("ports.json") },
            "Roles": { "W": { "Instances": [{ "Host": "127.0.0.2" }], "Endpoints": {
                "Debug": { "Kind": "InstanceInput", "Protocol": "tcp", "LocalPort": 10100, "PublicPorts": "10105-10109" } } } }
        })
        .to_string();
        let files = [("gateway.json", text.as_str())];
        let files = InMemoryFiles { files: &files, ..InMemoryFiles::default() };
        let mut loaded = load_texts(&files, Environment::of_process());
        compile(&mut loaded).unwrap_or_else(|| panic!("{:?}", loaded.diagnostics.list))
    }

    #[test]
    fn ports_are_the_same_after_a_restart_and_a_damaged_file_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let blueprint = blueprint(directory.path());
        let ports: PortMap = [("W.Debug".to_owned(), [("W_IN_0".to_owned(), 10_107)].into_iter().collect())]
            .into_iter()
            .collect();
        save(&blueprint, &ports, &RoleState::default()).unwrap();
        let state = RoleState::default();
        load(&blueprint, &state);
        assert_eq!(state.ports(), ports);
        std::fs::write(directory.path().join("ports.json"), "{").unwrap();
        let state = RoleState::default();
        load(&blueprint, &state);
        assert!(state.ports().is_empty());
    }
}
