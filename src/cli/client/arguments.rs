//! The arguments of the commands that talk to a running gateway.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The administration address of the gateway, and the credentials.
#[derive(Args, Clone, Debug, Default)]
pub struct AdminOptions {
    /// The administration address. Default: MARGAY_ADMIN, else 127.0.0.1:8081.
    #[arg(long, value_name = "HOST:PORT|URL|unix:PATH")]
    pub admin: Option<String>,
    /// A file with the token. Default: the variable MARGAY_ADMIN_TOKEN; no token if it is not set.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A PEM file with the certificate authorities to trust over https. Default: those of the system.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the client certificate; requires --key-file.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with the key of the client certificate.
    #[arg(long, value_name = "FILE", requires = "certificate_file")]
    pub key_file: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// `margay status`.
#[derive(Args, Clone, Debug)]
pub struct StatusCommand {
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// `margay routes`.
#[derive(Args, Clone, Debug)]
pub struct RoutesCommand {
    /// Only routes whose name contains this text.
    #[arg(value_name = "TEXT")]
    pub filter: Option<String>,
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// `margay clusters`.
#[derive(Args, Clone, Debug)]
pub struct ClustersCommand {
    /// Only clusters whose name contains this text.
    #[arg(value_name = "TEXT")]
    pub filter: Option<String>,
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// `margay tail`.
#[derive(Args, Clone, Debug)]
pub struct TailCommand {
    /// Only requests of this route.
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Only responses with this status: 503, 5xx or 500-599.
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only requests that ended with this error code.
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// Only requests of this client address.
    #[arg(long, value_name = "IP")]
    pub client: Option<String>,
    /// End after this number of requests.
    #[arg(long, short = 'n', value_name = "N")]
    pub lines: Option<u64>,
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// `margay top`.
#[derive(Args, Clone, Debug)]
pub struct TopCommand {
    /// Time between two updates in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = interval)]
    pub interval: f64,
    #[command(flatten)]
    pub admin: AdminOptions,
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "must be a number of seconds from 0.1 to 3600".to_owned())
}

/// `margay history`.
#[derive(Args, Clone, Debug)]
pub struct HistoryCommand {
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// How a change is applied.
#[derive(Args, Clone, Debug, Default)]
pub struct ChangeOptions {
    /// Roll back if the 5xx ratio or the p99 of a changed route leaves its band within this time: 1s to 1h.
    #[arg(long, value_name = "DURATION")]
    pub watch: Option<String>,
    /// Write the configuration to the file of the gateway, with a backup next to it; after a watch, once the change is kept.
    #[arg(long)]
    pub save: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Do not wait for the end of the watch.
    #[arg(long, requires = "watch")]
    pub no_wait: bool,
}

/// `margay apply`.
#[derive(Args, Clone, Debug)]
pub struct ApplyCommand {
    /// The new gateway.json; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub change: ChangeOptions,
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// `margay rollback`.
#[derive(Args, Clone, Debug)]
pub struct RollbackCommand {
    /// The number of the entry in `margay history` whose configuration is applied again.
    #[arg(value_name = "NUMBER")]
    pub number: u64,
    #[command(flatten)]
    pub change: ChangeOptions,
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// `margay drain` and `margay enable`.
#[derive(Args, Clone, Debug)]
pub struct EndpointCommand {
    /// The name of the cluster, or of the route that it belongs to.
    #[arg(value_name = "CLUSTER")]
    pub cluster: String,
    /// The endpoint as `margay clusters` prints it, such as 10.0.0.1:8080.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// `margay policies effective`.
#[derive(Args, Clone, Debug)]
pub struct EffectivePolicies {
    /// The id of the API, with `;rev=N` for a revision that is not current.
    #[arg(long, value_name = "ID")]
    pub api: String,
    /// The id of the operation. Default: the program of requests that no operation takes.
    #[arg(long, value_name = "ID")]
    pub operation: Option<String>,
    /// The id of the product context. Default: no product.
    #[arg(long, value_name = "ID")]
    pub product: Option<String>,
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// `margay subscriptions`.
#[derive(Clone, Debug, Subcommand)]
pub enum SubscriptionsCommand {
    /// List the subscriptions, without their keys.
    List(ListSubscriptions),
    /// Make a subscription, and print its keys.
    #[command(visible_alias = "create")]
    Add(AddSubscription),
    /// Replace a key of a subscription, and print its keys. The old key ends at once.
    #[command(visible_alias = "rotate")]
    Regenerate(RegenerateSubscription),
}

/// `margay subscriptions list`.
#[derive(Args, Clone, Debug)]
pub struct ListSubscriptions {
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// `margay subscriptions add`.
#[derive(Args, Clone, Debug)]
pub struct AddSubscription {
    /// The id of the subscription.
    #[arg(value_name = "ID")]
    pub id: String,
    /// What its keys open: /products/ID, /apis/ID, or /apis for all.
    #[arg(long, value_name = "SCOPE")]
    pub scope: String,
    /// The name for people. Default: the id.
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// The id of the user who owns it.
    #[arg(long, value_name = "USER")]
    pub owner: Option<String>,
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// `margay subscriptions regenerate`.
#[derive(Args, Clone, Debug)]
pub struct RegenerateSubscription {
    /// The id of the subscription.
    #[arg(value_name = "ID")]
    pub id: String,
    /// The key that is replaced.
    #[arg(value_name = "KEY")]
    pub key: WhichKey,
    #[command(flatten)]
    pub admin: AdminOptions,
}

/// One of the two keys of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhichKey {
    Primary,
    Secondary,
}
