//! `margay explain`: a dry run of one request.

use super::args::Explain;
use super::{Exit, output, settings};
use crate::config::suggest;
use crate::control::candidate::Candidate;
use crate::control::{gateway_handle::GatewayHandle, services};
use crate::pipeline::exchange::{Exchange, Peer};
use crate::pipeline::head::Head;
use crate::plan::explain::{Explainer, Explanation};
use crate::plan::{ProcessState, build};
use crate::stages::custom::StageRegistry;
use crate::telemetry::Metrics;
use std::net::SocketAddr;
use std::time::Instant;

/// Loads the configuration, runs the request through its plan, and prints the explanation.
pub(super) fn run(arguments: &Explain, stages: &StageRegistry) -> Exit {
    let request = match request(arguments) {
        Ok(request) => request,
        Err(error) => return Exit::usage(&error),
    };
    let candidate = Candidate::read(&settings::request(&arguments.configuration), stages);
    if candidate.blueprint.is_none() {
        output::write_stderr(&candidate.report(settings::color_style()));
        return Exit::Invalid;
    }
    let explanation = match build_plan(&candidate, request) {
        Ok(explanation) => explanation,
        Err(error) => return Exit::failed(&error),
    };
    match serde_json::to_string_pretty(&explanation) {
        Ok(json) if arguments.json => output::write_stdout(&format!("{json}\n")),
        _ => output::write_stdout(&explanation.text()),
    }
    Exit::Done
}

/// Builds the plan as at startup, without starting anything.
fn build_plan(candidate: &Candidate, mut exchange: Exchange) -> Result<Explanation, String> {
    let Some(blueprint) = &candidate.blueprint else { return Err("the configuration has errors".to_owned()) };
    let mut names = blueprint.listeners.iter().map(|listener| &*listener.name);
    match &exchange.client.listener {
        None => exchange.client.listener = names.next().map(Into::into),
        Some(name) if names.clone().any(|other| *other == **name) => {}
        Some(name) => {
            let known = suggest::list(&names.collect::<Vec<_>>());
            return Err(format!("unknown listener \"{name}\"; the listeners are {known}"));
        }
    }
    let services = services::registry(&GatewayHandle::default());
    let foundation = ProcessState::new(Metrics::new(1), usize::MAX).with_services(services);
    let plan = build(blueprint, candidate.id.clone(), &foundation)?;
    let explainer = Explainer { plan: &plan, blueprint, sources: &candidate.loaded.sources };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    // Lets a discovery provider resolve the service; nothing else has time to start.
    foundation.background.attach(runtime.handle().clone());
    Ok(runtime.block_on(explainer.explain(exchange)))
}

/// The request as it would be received: the authority of the URL is its Host, unless a header overrides it.
fn request(arguments: &Explain) -> Result<Exchange, String> {
    let (tls, rest) = match arguments.url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
        Some((scheme, _)) => return Err(format!("unsupported scheme {scheme}://: expected http or https")),
        None => (false, arguments.url.as_str()),
    };
    let path = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = if rest == "*" { ("", rest) } else { rest.split_at(path) };
    let target =
        if target.starts_with('/') || target == "*" { target.to_owned() } else { format!("/{target}") };
    if target.bytes().chain(arguments.method.bytes()).any(|b| b <= b' ' || b == 0x7f) {
        return Err("method and URL cannot contain spaces".to_owned());
    }
    let mut head = Head::request(arguments.method.as_bytes(), target.as_bytes());
    head.append(b"Host", if authority.is_empty() { b"localhost" } else { authority.as_bytes() });
    for header in &arguments.headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| format!("-H '{header}': expected 'Name: value'"))?;
        let (name, value) = (name.trim().as_bytes(), value.trim().as_bytes());
        if name.eq_ignore_ascii_case(b"host") {
            head.remove(name);
        }
        head.append(name, value);
    }
    let local = SocketAddr::from(([127, 0, 0, 1], if tls { 443 } else { 80 }));
    let mut exchange =
        Exchange::new(Peer::new(SocketAddr::new(arguments.from, 0), local, tls), 0, Instant::now());
    exchange.request = head;
    exchange.client.listener = arguments.listener.as_deref().map(Into::into);
    Ok(exchange)
}

#[cfg(test)]
mod tests {
    use super::super::args::{Arguments, Command};
    use super::*;
    use clap::Parser;
    use std::path::Path;

    /// Each `NAME.txt` contains a command line after `$ ` and its output; `UPDATE=1` regenerates them.
    #[test]
    fn explanations_match_the_golden_files() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explain");
        let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        names.retain(|path| path.extension().is_some_and(|e| e == "txt"));
        assert!(names.len() >= 5, "{names:?}");
        for path in names {
            let golden = std::fs::read_to_string(&path).unwrap();
            let command = golden.lines().next().unwrap();
            let current = format!("{command}\n{}", output_of(command.strip_prefix("$ ").unwrap(), &folder));
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, current).unwrap();
            } else {
                assert_eq!(current, golden, "{}: UPDATE=1 cargo test --lib golden", path.display());
            }
        }
    }

    /// Runs the command line with the folder's configuration.
    fn output_of(command: &str, folder: &Path) -> String {
        let arguments_text =
            command.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace('+', " "));
        let Command::Explain(mut arguments) = Arguments::try_parse_from(arguments_text).unwrap().command
        else {
            panic!("explain")
        };
        arguments.configuration.config = vec![folder.join("gateway.json")];
        let candidate =
            Candidate::read(&settings::request(&arguments.configuration), &StageRegistry::default());
        let explanation = build_plan(&candidate, request(&arguments).unwrap()).unwrap();
        let text = explanation.text().replace(&format!("{}/", folder.display()), "");
        // The request id differs each time.
        let without_id =
            |line: &str| line.find("Id: ").map_or(line.to_owned(), |at| format!("{}Id: ...", &line[..at]));
        text.lines().map(|line| without_id(line) + "\n").collect()
    }

    #[test]
    fn a_url_may_be_absolute_or_a_path_and_a_header_may_set_the_host() {
        let parse = |arguments_text: &[&str]| {
            let arguments_text = ["margay", "explain"].iter().chain(arguments_text);
            let Command::Explain(arguments) = Arguments::try_parse_from(arguments_text).unwrap().command
            else {
                panic!("explain")
            };
            request(&arguments).map(|exchange| {
                let host = exchange.request.get(b"host").unwrap_or_default();
                (
                    String::from_utf8_lossy(exchange.request.target()).into_owned(),
                    String::from_utf8_lossy(host).into_owned(),
                    exchange.client.peer.tls,
                )
            })
        };
        let is = |target: &str, host: &str, tls| Ok((target.to_owned(), host.to_owned(), tls));
        assert_eq!(parse(&["GET", "https://a.example/x?y"]), is("/x?y", "a.example", true));
        assert_eq!(parse(&["GET", "http://a.example?y"]), is("/?y", "a.example", false));
        assert_eq!(parse(&["GET", "/x", "-H", "host: b.example"]), is("/x", "b.example", false));
        assert_eq!(parse(&["OPTIONS", "*"]), is("*", "localhost", false));
        assert!(parse(&["GET", "ftp://a.example/"]).is_err());
        assert!(parse(&["GET", "/a b"]).is_err());
        assert!(parse(&["GET", "/", "-H", "nonsense"]).is_err());
    }
}
