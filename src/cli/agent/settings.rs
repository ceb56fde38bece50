//! The settings of an agent, from the command line and from a file.

use super::arguments::AgentCommand;
use crate::cli::tunnel::{
    credentials::{self, Credentials},
    gateway::GatewayClient,
};
use crate::net::agents::{names::is_agent_id, service_target::ServiceTarget};
use crate::{
    base::ip_set::{IpRange, IpSet},
    config::files::read_limited,
};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};

const MAX_FILE_BYTES: u64 = 256 * 1024;

/// The settings.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    pub id: String,
    pub gateways: Vec<GatewayClient>,
    pub services: Vec<ServiceTarget>,
    pub credentials: Credentials,
    pub allowed_clients: Option<IpSet>,
}

/// The file of `--config`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct AgentFile {
    gateways: Vec<String>,
    id: Option<String>,
    key_file: Option<std::path::PathBuf>,
    services: BTreeMap<String, String>,
    allow_from: Vec<String>,
}

fn read_file(path: &Path) -> Result<AgentFile, String> {
    let bytes = read_limited(path, MAX_FILE_BYTES)
        .map_err(|error| format!("--config {}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("--config {}: {error}", path.display()))
}

impl AgentSettings {
    /// Reads the settings. The error is a usage error.
    pub fn read(command: &AgentCommand) -> Result<AgentSettings, String> {
        let file = command.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let mut options = command.options.clone();
        options.key_file = options.key_file.or(file.key_file);
        let id = match command.id.clone().or(file.id) {
            Some(id) => Some(id),
            None => credentials::device(&options)?,
        };
        let id = id.ok_or("the agent has no id: pass --id")?;
        if !is_agent_id(&id) {
            return Err(format!("invalid id \"{id}\": must be 1 to 128 letters, digits and -._~:@"));
        }
        let urls = command.gateway.iter().chain(&file.gateways);
        let gateways = urls.map(|url| GatewayClient::new(url, &options)).collect::<Result<Vec<_>, _>>()?;
        if gateways.is_empty() {
            return Err("no gateway: pass --gateway https://gw.example/_agents".to_owned());
        }
        let of_file = file.services.iter().map(|(name, target)| format!("{name}={target}"));
        let texts = command.service.iter().cloned().chain(of_file);
        let services = texts.map(|text| ServiceTarget::parse(&text)).collect::<Result<Vec<_>, _>>()?;
        if services.is_empty() {
            return Err("no service: pass --service ssh=127.0.0.1:22".to_owned());
        }
        let allowed: Vec<&String> = command.allow_from.iter().chain(&file.allow_from).collect();
        let ranges = allowed.iter().map(|text| {
            IpRange::parse(text)
                .ok_or_else(|| format!("invalid network \"{text}\": expected 10.0.0.0/8 or an address"))
        });
        let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
        Ok(AgentSettings {
            credentials: Credentials::read(&options, None)?,
            id,
            gateways,
            services,
            allowed_clients: (!ranges.is_empty()).then(|| ranges.into_iter().collect()),
        })
    }
}
