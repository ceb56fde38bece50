//! `margay explain`: what would happen to a request, without one.

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

/// Loads the configuration, asks its plan, and tells.
pub(super) fn run(asked: &Explain, stages: &StageRegistry) -> Exit {
    let request = match request(asked) {
        Ok(request) => request,
        Err(wrong) => return Exit::usage(&wrong),
    };
    let candidate = Candidate::read(&settings::request(&asked.configuration), stages);
    if candidate.blueprint.is_none() {
        output::write_stderr(&candidate.report(settings::color_style()));
        return Exit::Invalid;
    }
    let explanation = match build_plan(&candidate, request) {
        Ok(explanation) => explanation,
        Err(why) => return Exit::failed(&why),
    };
    match serde_json::to_string_pretty(&explanation) {
        Ok(json) if asked.json => output::write_stdout(&format!("{json}\n")),
        _ => output::write_stdout(&explanation.text()),
    }
    Exit::Done
}

/// Makes the plan as a start would, without starting anything.
fn build_plan(candidate: &Candidate, mut exchange: Exchange) -> Result<Explanation, String> {
    let Some(blueprint) = &candidate.blueprint else { return Err("the configuration has errors".to_owned()) };
    let mut names = blueprint.listeners.iter().map(|listener| listener.name.as_str());
    match &exchange.client.listener {
        None => exchange.client.listener = names.next().map(Into::into),
        Some(asked) if names.clone().any(|name| name == &**asked) => {}
        Some(asked) => {
            let known = suggest::list(&names.collect::<Vec<_>>());
            return Err(format!("there is no listener \"{asked}\": there are {known}"));
        }
    }
    let services = services::registry(&GatewayHandle::default());
    let foundation = ProcessState::new(Metrics::new(1), usize::MAX).with_services(services);
    let plan = build(blueprint, candidate.id.clone(), &foundation)?;
    let explainer = Explainer { plan: &plan, blueprint, sources: &candidate.loaded.sources };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    // A registry is asked where a service is; nothing else has the time to begin.
    foundation.background.attach(runtime.handle().clone());
    Ok(runtime.block_on(explainer.explain(exchange)))
}

/// The request as it would arrive: the authority of the URL is its Host, unless a header says otherwise.
fn request(asked: &Explain) -> Result<Exchange, String> {
    let (tls, rest) = match asked.url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
        Some((scheme, _)) => return Err(format!("{scheme}:// is not a scheme of HTTP")),
        None => (false, asked.url.as_str()),
    };
    let path = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = if rest == "*" { ("", rest) } else { rest.split_at(path) };
    let target =
        if target.starts_with('/') || target == "*" { target.to_owned() } else { format!("/{target}") };
    if target.bytes().chain(asked.method.bytes()).any(|b| b <= b' ' || b == 0x7f) {
        return Err("method and URL cannot hold spaces".to_owned());
    }
    let mut head = Head::request(asked.method.as_bytes(), target.as_bytes());
    head.append(b"Host", if authority.is_empty() { b"localhost" } else { authority.as_bytes() });
    for header in &asked.headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| format!("-H '{header}': write 'Name: value'"))?;
        let (name, value) = (name.trim().as_bytes(), value.trim().as_bytes());
        if name.eq_ignore_ascii_case(b"host") {
            head.remove(name);
        }
        head.append(name, value);
    }
    let local = SocketAddr::from(([127, 0, 0, 1], if tls { 443 } else { 80 }));
    let mut x = Exchange::new(Peer::new(SocketAddr::new(asked.from, 0), local, tls), 0, Instant::now());
    x.request = head;
    x.client.listener = asked.listener.as_deref().map(Into::into);
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::super::args::{Arguments, Command};
    use super::*;
    use clap::Parser;
    use std::path::Path;

    /// Every `NAME.txt` holds a command line after `$ ` and what it prints; `UPDATE=1` writes them anew.
    #[test]
    fn explanations_are_those_of_the_golden_files() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explain");
        let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        names.retain(|path| path.extension().is_some_and(|e| e == "txt"));
        assert!(names.len() >= 5, "{names:?}");
        for path in names {
            let golden = std::fs::read_to_string(&path).unwrap();
            let command = golden.lines().next().unwrap();
            let fresh = format!("{command}\n{}", told(command.strip_prefix("$ ").unwrap(), &folder));
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, fresh).unwrap();
            } else {
                assert_eq!(fresh, golden, "{}: UPDATE=1 cargo test --lib golden", path.display());
            }
        }
    }

    /// Runs the command line against the folder's configuration.
    fn told(command: &str, folder: &Path) -> String {
        let words = command.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace('+', " "));
        let Command::Explain(mut asked) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("explain")
        };
        asked.configuration.config = vec![folder.join("gateway.json")];
        let candidate = Candidate::read(&settings::request(&asked.configuration), &StageRegistry::default());
        let explanation = build_plan(&candidate, request(&asked).unwrap()).unwrap();
        let text = explanation.text().replace(&format!("{}/", folder.display()), "");
        // A request id is another one each time.
        let same =
            |line: &str| line.find("Id: ").map_or(line.to_owned(), |at| format!("{}Id: ...", &line[..at]));
        text.lines().map(|line| same(line) + "\n").collect()
    }

    #[test]
    fn a_url_may_be_whole_or_a_path_and_a_header_may_name_the_host() {
        let ask = |words: &[&str]| {
            let words = ["margay", "explain"].iter().chain(words);
            let Command::Explain(asked) = Arguments::try_parse_from(words).unwrap().command else {
                panic!("explain")
            };
            request(&asked).map(|x| {
                let host = x.request.get(b"host").unwrap_or_default();
                (
                    String::from_utf8_lossy(x.request.target()).into_owned(),
                    String::from_utf8_lossy(host).into_owned(),
                    x.client.peer.tls,
                )
            })
        };
        let is = |target: &str, host: &str, tls| Ok((target.to_owned(), host.to_owned(), tls));
        assert_eq!(ask(&["GET", "https://a.example/x?y"]), is("/x?y", "a.example", true));
        assert_eq!(ask(&["GET", "http://a.example?y"]), is("/?y", "a.example", false));
        assert_eq!(ask(&["GET", "/x", "-H", "host: b.example"]), is("/x", "b.example", false));
        assert_eq!(ask(&["OPTIONS", "*"]), is("*", "localhost", false));
        assert!(ask(&["GET", "ftp://a.example/"]).is_err());
        assert!(ask(&["GET", "/a b"]).is_err());
        assert!(ask(&["GET", "/", "-H", "nonsense"]).is_err());
    }
}
