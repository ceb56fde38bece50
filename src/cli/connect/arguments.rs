//! The arguments of `margay connect`.

use super::super::tunnel::arguments::GatewayOptions;
use clap::Args;
use std::net::SocketAddr;

/// The service of an agent, and where it appears.
#[derive(Args, Clone, Debug)]
pub struct ConnectCommand {
    /// The route of the gateway with "DownstreamService": "Agents", such as `https://gw.example/_agents`.
    #[arg(long, value_name = "URL")]
    pub gateway: String,
    /// The id of the agent.
    #[arg(long, value_name = "ID")]
    pub agent: String,
    /// The service of the agent.
    #[arg(long, value_name = "NAME")]
    pub service: String,
    /// Listen here; each connection is one to the service.
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "stdio", conflicts_with = "stdio")]
    pub listen: Option<SocketAddr>,
    /// Use standard input and output, as ProxyCommand of ssh does.
    #[arg(long)]
    pub stdio: bool,
    /// The policy whose key this is.
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// How long a local connection waits for the gateway, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
    #[command(flatten)]
    pub options: GatewayOptions,
}
