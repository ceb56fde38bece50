//! `margay explain`: a dry run of one request.

use super::args::Explain;
use super::{Exit, explain_topics, output, settings};
use crate::control::candidate::Candidate;
use crate::control::dry_run::DryRun;
use crate::pipeline::exchange::Exchange;
use crate::plan::explain::{add_body, parse_request_from};
use crate::stages::custom::StageRegistry;

/// Loads the configuration, runs the request through its plan, and prints the explanation.
pub(super) fn run(arguments: &Explain, stages: &StageRegistry) -> Exit {
    if let Some(topic) = &arguments.topic {
        return explain_topics::run(topic, stages);
    }
    let request = match request(arguments) {
        Ok(request) => request,
        Err(error) => return Exit::usage(&error),
    };
    let candidate = Candidate::read(&settings::request(&arguments.configuration), stages);
    if candidate.blueprint.is_none() {
        output::write_stderr(&candidate.report(settings::color_style()));
        return Exit::Invalid;
    }
    let explanation = match DryRun::new(&candidate).and_then(|run| run.explain(request)) {
        Ok(explanation) => explanation,
        Err(error) => return Exit::failed(&error),
    };
    match serde_json::to_string_pretty(&explanation) {
        Ok(json) if arguments.json => output::write_stdout(&format!("{json}\n")),
        _ => output::write_stdout(&explanation.text()),
    }
    Exit::Done
}

/// The request of the arguments.
fn request(arguments: &Explain) -> Result<Exchange, String> {
    let header = |header: &'_ String| match header.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err(format!("-H '{header}': expected 'Name: value'")),
    };
    let headers: Vec<_> = arguments.headers.iter().map(header).collect::<Result<_, _>>()?;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut exchange = parse_request_from(
        arguments.method.as_deref().unwrap_or_default(),
        arguments.url.as_deref().unwrap_or_default(),
        &headers,
        arguments.from,
        arguments.listener.as_deref(),
    )?;
    add_body(&mut exchange, body(arguments)?);
    Ok(exchange)
}

fn body(arguments: &Explain) -> Result<Vec<u8>, String> {
    match arguments.data.as_deref().map(|data| (data, data.strip_prefix('@'))) {
        None => Ok(Vec::new()),
        Some((_, Some(file))) => std::fs::read(file).map_err(|error| format!("--data {file}: {error}")),
        Some((data, None)) => Ok(data.as_bytes().to_vec()),
    }
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
        let explanation = DryRun::new(&candidate).unwrap().explain(request(&arguments).unwrap()).unwrap();
        let text = explanation.text().replace(&format!("{}/", folder.display()), "");
        // The request id differs each time.
        let without_id =
            |line: &str| line.find("Id: ").map_or(line.to_owned(), |at| format!("{}Id: ...", &line[..at]));
        text.lines().map(|line| without_id(line) + "\n").collect()
    }

    #[test]
    fn a_header_without_a_colon_is_a_usage_error() {
        let arguments = ["margay", "explain", "GET", "/", "-H", "nonsense"];
        let Command::Explain(arguments) = Arguments::try_parse_from(arguments).unwrap().command else {
            panic!("explain")
        };
        assert_eq!(request(&arguments).err().as_deref(), Some("-H 'nonsense': expected 'Name: value'"));
    }
}
