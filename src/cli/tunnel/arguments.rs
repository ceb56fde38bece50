//! The arguments that `margay agent` and `margay connect` share.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What carries the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// An HTTP upgrade; a WebSocket if something on the way does not pass it.
    #[default]
    Auto,
    /// An HTTP upgrade.
    Upgrade,
    /// A WebSocket.
    Websocket,
}

/// How a gateway is reached, and the proof of identity.
#[derive(Args, Clone, Debug, Default)]
pub struct GatewayOptions {
    /// A PEM file with the authorities for the certificate of the gateway. Default: those of the system.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A file with the key in Base64. Default: the variable MARGAY_AGENT_KEY.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// A file with a connection string: HostName=...;DeviceId=...;SharedAccessKey=...
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    pub connection_string_file: Option<PathBuf>,
    /// A PEM file with the client certificate.
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    pub certificate: Option<PathBuf>,
    /// A PEM file with the key of the client certificate.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub certificate_key: Option<PathBuf>,
    /// A file with a bearer token for the authentication of the route.
    #[arg(long, value_name = "FILE")]
    pub bearer_file: Option<PathBuf>,
    /// An HTTP proxy: `http://[user:password@]host:port`. Default: HTTPS_PROXY, unless NO_PROXY has the host.
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// What carries the connection.
    #[arg(long, value_name = "TRANSPORT", default_value = "auto")]
    pub transport: Transport,
    /// Allow http:// to another machine: tokens and bytes can be read on the network.
    #[arg(long)]
    pub plain: bool,
}
