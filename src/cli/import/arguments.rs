//! The arguments of `margay import`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Converts the configuration of another gateway, or an OpenAPI document, into gateway.json.
#[derive(Args, Clone, Debug)]
pub struct Import {
    #[command(subcommand)]
    pub format: Format,
}

/// The formats.
#[derive(Clone, Debug, Subcommand)]
pub enum Format {
    /// An OpenAPI 3.0 or 3.1 document in YAML or JSON: one route for each operation.
    Openapi(OpenapiImport),
    /// YARP: the section ReverseProxy of an appsettings.json.
    Yarp(ImportFiles),
    /// Kong: a declarative (decK) file in YAML or JSON.
    Kong(ImportFiles),
    /// Azure Cloud Services (classic): the roles, endpoints and traffic rules of a service definition.
    Csdef(CsdefImport),
}

/// The options of `margay import csdef`.
#[derive(Args, Clone, Debug)]
pub struct CsdefImport {
    /// The service definition (.csdef).
    #[arg(value_name = "DEFINITION")]
    pub definition: PathBuf,
    /// The service configuration (.cscfg): the number of instances, and access lists.
    #[arg(value_name = "CONFIGURATION")]
    pub configuration: Option<PathBuf>,
    /// A JSON file with the hosts of the instances: {"Role": ["10.0.0.4", "10.0.0.5"]}. Default: placeholders.
    #[arg(long, value_name = "FILE")]
    pub instances: Option<PathBuf>,
    /// Give internal endpoints ports of the gateway, from this one on.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub gateway_ports: Option<u16>,
    /// Reject what is otherwise corrected.
    #[arg(long)]
    pub strict: bool,
}

/// The file to read and the files to write.
#[derive(Args, Clone, Debug)]
pub struct ImportFiles {
    /// The file to import; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub source: PathBuf,
    /// Write the configuration to this file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace an existing output file.
    #[arg(long)]
    pub force: bool,
    /// Write the report of what was not taken over to this file instead of standard error.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Add Tests: a request for each route, and what happens to it.
    #[arg(long)]
    pub tests: bool,
    /// The report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The options of `margay import openapi`.
#[derive(Args, Clone, Debug)]
pub struct OpenapiImport {
    #[command(flatten)]
    pub files: ImportFiles,
    /// The URL of the backend, instead of `servers` of the document.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// A path in front of every path that clients request, such as /petstore.
    #[arg(long, value_name = "PATH")]
    pub prefix: Option<String>,
    /// Clients request paths with the base path of the server, as in the URLs of the document.
    #[arg(long)]
    pub keep_base_path: bool,
}
