//! The decision of the firewall about one request, in a dry run of its route.

use crate::cli::configuration::Configuration;
use crate::cli::{Exit, output, settings};
use crate::control::candidate::Candidate;
use crate::control::dry_run::DryRun;
use crate::pipeline::exchange::Exchange;
use crate::plan::explain::{add_body, parse_request_from};
use crate::stages::custom::StageRegistry;
use std::net::{IpAddr, Ipv4Addr};

/// What happens to a request.
pub(super) struct Decision {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The status with which the firewall rejects it; 0 if it passes the firewall.
    pub status: u16,
    /// The error code of the firewall; empty if it passes.
    pub code: String,
    /// The decision in words.
    pub text: String,
}

/// The configuration; an invalid one is reported.
pub(super) fn read_candidate(
    configuration: &Configuration,
    stages: &StageRegistry,
) -> Result<Candidate, Exit> {
    let candidate = Candidate::read(&settings::request(configuration), stages);
    if candidate.blueprint.is_none() {
        output::write_stderr(&candidate.report(settings::color_style()));
        return Err(Exit::Invalid);
    }
    Ok(candidate)
}

/// A request of this machine.
pub(super) fn exchange(
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: &str,
) -> Result<Exchange, String> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut exchange = parse_request_from(method, target, &headers, IpAddr::V4(Ipv4Addr::LOCALHOST), None)?;
    add_body(&mut exchange, body.as_bytes().to_vec());
    Ok(exchange)
}

/// Decides about a request.
pub(super) fn decide(dry_run: &DryRun<'_>, exchange: Exchange) -> Result<Decision, String> {
    let explanation = dry_run.explain(exchange)?;
    let (mut status, mut code) = (0, String::new());
    let text = match &explanation.response {
        Some(rejection) if rejection.code.starts_with("waf.") => {
            status = rejection.status;
            code.clone_from(&rejection.code);
            format!("{code}: {}", rejection.detail)
        }
        Some(other) => format!("passes, but is rejected with {}: {}", other.code, other.detail),
        None => "passes".to_owned(),
    };
    Ok(Decision { method: explanation.method, target: explanation.target, status, code, text })
}
