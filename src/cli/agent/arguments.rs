//! The arguments of `margay agent`.

use super::super::tunnel::arguments::GatewayOptions;
use clap::Args;
use std::path::PathBuf;

/// The agent and its services.
#[derive(Args, Clone, Debug, Default)]
pub struct AgentCommand {
    /// The route of the gateway with "DownstreamService": "Agents", such as `https://gw.example/_agents`; several are allowed.
    #[arg(long, value_name = "URL")]
    pub gateway: Vec<String>,
    /// The id of the agent. Default: the DeviceId of the connection string.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// A service and what it is: NAME=host:port, NAME=http://host:port or NAME=unix:/path. Nothing else is ever connected to.
    #[arg(long, value_name = "NAME=TARGET")]
    pub service: Vec<String>,
    /// The same settings as JSON: Gateways, Id, KeyFile, Services. The file is read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// At most this many connections to each gateway.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub connections: u8,
    /// Networks of the clients that may reach the services, as the gateway reports them.
    #[arg(long, value_name = "NETWORK")]
    pub allow_from: Vec<String>,
    /// Serve /live, /ready and /metrics here.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub health: Option<std::net::SocketAddr>,
    /// Try once; exit with 1 if the gateway is not reachable or refuses.
    #[arg(long)]
    pub once: bool,
    /// Connect, report that the gateway accepts the agent, and end.
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub options: GatewayOptions,
}
