//! `margay new`: a first gateway.json, from flags or from answers on a terminal.

use super::args::New;
use super::{Exit, format, output};
use crate::config::render::Style;
use crate::config::{Environment, InMemoryFiles, render};
use crate::net::listener::Address;
use crate::plan::compile;
use crate::plan::document::load_texts;
use serde_json::{Map, Value, json};
use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

/// What the file is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scaffold {
    listen: String,
    admin: String,
    /// Scheme, host, port and path.
    backends: Vec<(String, String, u16, String)>,
    /// The path in front of the routes, without a trailing slash.
    path: String,
    keeps_path: bool,
    key: String,
}

/// Writes the file; an existing one is not replaced.
pub(super) fn run(arguments: &New) -> Exit {
    let to_stdout = arguments.output.as_os_str() == "-";
    if arguments.output.exists() && !arguments.force && !to_stdout {
        return Exit::failed(&format!("{} exists; pass --force to replace it", arguments.output.display()));
    }
    let mut arguments = arguments.clone();
    if arguments.backend.is_empty() {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Exit::usage(
                "no backend: pass --backend URL, or run it on a terminal and answer the questions",
            );
        }
        ask_all(&mut arguments);
    }
    let text = match scaffold(&arguments).map(|scaffold| document_text(&scaffold)) {
        Ok(text) => text,
        Err(error) => return Exit::usage(&error),
    };
    if let Err(report) = check(&text) {
        output::write_stderr(&report);
        return Exit::usage("the answers do not make a valid configuration");
    }
    if to_stdout {
        output::write_stdout(&text);
        return Exit::Done;
    }
    match write(&arguments.output, &text) {
        Ok(()) => {
            let name = arguments.output.display();
            output::write_stderr(&format!(
                "margay: wrote {name}; start it with `margay run --config {name}`\n"
            ));
            Exit::Done
        }
        Err(error) => Exit::failed(&format!("cannot write {}: {error}", arguments.output.display())),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

fn ask_all(arguments: &mut New) {
    let backends = ask("Backend URLs, separated by commas", "http://127.0.0.1:9000");
    arguments.backend =
        backends.split(',').map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect();
    arguments.path = ask("Path of the routes", &arguments.path);
    let listen = ask("Listen on", &arguments.listen.to_string());
    match super::args::address(&listen) {
        Ok(address) => arguments.listen = address,
        Err(error) => output::write_stderr(&format!("{error}; {} is used\n", arguments.listen)),
    }
}

/// The answer, or the default for an empty one.
fn ask(question: &str, default: &str) -> String {
    output::write_stderr(&format!("{question} [{default}]: "));
    let mut answer = String::new();
    let _ = io::stdin().lock().read_line(&mut answer);
    if answer.trim().is_empty() { default.to_owned() } else { answer.trim().to_owned() }
}

fn scaffold(arguments: &New) -> Result<Scaffold, String> {
    let backends: Result<Vec<_>, String> = arguments.backend.iter().map(|url| backend(url)).collect();
    let backends = backends?;
    let Some(first) = backends.first() else { return Err("no backend: pass --backend URL".to_owned()) };
    if backends.iter().any(|other| (&other.0, &other.3) != (&first.0, &first.3)) {
        return Err("the backends of one cluster must have the same scheme and the same path".to_owned());
    }
    let segments = arguments.path.split('/').filter(|segment| !segment.is_empty());
    let path: String = segments.map(|segment| format!("/{segment}")).collect();
    let key = path.trim_matches('/').replace('/', "-");
    Ok(Scaffold {
        listen: arguments.listen.to_string(),
        admin: arguments.admin.as_ref().map_or("127.0.0.1:8081".to_owned(), Address::to_string),
        backends,
        keeps_path: arguments.keep_path,
        key: if key.is_empty() { "all".to_owned() } else { key },
        path,
    })
}

/// `http://host:port/path`, or `host:port`.
fn backend(url: &str) -> Result<(String, String, u16, String), String> {
    let expected = || format!("invalid backend \"{url}\": expected a URL such as http://127.0.0.1:9000");
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let parsed: http::Uri = url.parse().map_err(|_| expected())?;
    let (scheme, host) = (parsed.scheme_str().unwrap_or_default(), parsed.host().unwrap_or_default());
    if !matches!(scheme, "http" | "https" | "ws" | "wss") || host.is_empty() {
        return Err(expected());
    }
    let usual = if matches!(scheme, "https" | "wss") { 443 } else { 80 };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let path = parsed.path().trim_end_matches('/').to_owned();
    Ok((scheme.to_owned(), host.to_owned(), parsed.port_u16().unwrap_or(usual), path))
}

fn document_text(scaffold: &Scaffold) -> String {
    let endpoint = |(_, host, port, _): &(String, String, u16, String)| json!({ "Host": host, "Port": port });
    let (scheme, base) = scaffold.backends.first().map_or(("http", ""), |first| (&first.0, &first.3));
    let mut cluster = Map::new();
    cluster.insert("DownstreamScheme".to_owned(), scheme.into());
    cluster.insert("Endpoints".to_owned(), scaffold.backends.iter().map(endpoint).collect());
    if scaffold.backends.len() > 1 {
        cluster.insert("LoadBalancerOptions".to_owned(), json!({ "Type": "RoundRobin" }));
    }
    let kept = if scaffold.keeps_path { scaffold.path.as_str() } else { "" };
    let document = json!({
        "Listeners": [{ "Name": "main", "Address": scaffold.listen }],
        "Administration": { "Address": scaffold.admin },
        "Clusters": { "backend": Value::Object(cluster) },
        "Routes": [{
            "Key": scaffold.key,
            "UpstreamPathTemplate": format!("{}/{{everything}}", scaffold.path),
            "DownstreamPathTemplate": format!("{base}{kept}/{{everything}}"),
            "DownstreamCluster": "backend"
        }]
    });
    commented(&format::format_value(&document, 3))
}

/// Comments in front of the sections.
fn commented(text: &str) -> String {
    const COMMENTS: [(&str, &str); 4] = [
        ("  \"Listeners\"", "Where clients connect."),
        (
            "  \"Administration\"",
            "Health, metrics and the administration API: `margay status`, `margay top`.",
        ),
        ("  \"Clusters\"", "The backends. See docs/balancing.md for load balancing and health checks."),
        (
            "  \"Routes\"",
            "Which requests are sent where. `margay explain GET /path` shows the route of a request.",
        ),
    ];
    let mut result = String::new();
    for line in text.lines() {
        if let Some((section, comment)) = COMMENTS.iter().find(|(section, _)| line.starts_with(section)) {
            let blank = if *section == COMMENTS[0].0 { "" } else { "\n" };
            result.push_str(&format!("{blank}  // {comment}\n"));
        }
        result.push_str(line);
        result.push('\n');
    }
    result
}

/// Whether `margay check` accepts the text; the error is its report.
fn check(text: &str) -> Result<(), String> {
    let files = [("gateway.json", text)];
    let files = InMemoryFiles { files: &files, ..InMemoryFiles::default() };
    let mut loaded = load_texts(&files, Environment::of_process());
    match compile(&mut loaded) {
        Some(_) => Ok(()),
        None => Err(render::text(&loaded.diagnostics, &loaded.sources, Style::default())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::{Arguments, Command};
    use super::*;
    use clap::Parser;

    fn text(arguments: &[&str]) -> Result<String, String> {
        let Command::New(arguments) =
            Arguments::try_parse_from(["margay", "new"].iter().chain(arguments)).unwrap().command
        else {
            panic!("new")
        };
        scaffold(&arguments).map(|scaffold| document_text(&scaffold))
    }

    #[test]
    fn the_result_is_valid_formatted_and_commented() {
        for arguments in [
            &["--backend", "http://127.0.0.1:9000"][..],
            &["--backend", "a:1", "--backend", "b:2", "--path", "/api/", "--keep-path"],
            &["--backend", "https://[::1]/base/", "--listen", "unix:/run/x.sock"],
        ] {
            let text = text(arguments).unwrap();
            assert_eq!(check(&text), Ok(()), "{text}");
            assert_eq!(format::format_text(&text).unwrap(), text);
            assert!(text.contains("// The backends."));
        }
    }

    #[test]
    fn the_path_is_removed_unless_it_is_kept() {
        let routes =
            |arguments: &[&str]| text(arguments).unwrap().split("\"Routes\"").last().unwrap().to_owned();
        let removed = routes(&["--backend", "http://a/v1", "--path", "shop"]);
        assert!(
            removed.contains("\"/shop/{everything}\"") && removed.contains("\"/v1/{everything}\""),
            "{removed}"
        );
        assert!(
            routes(&["--backend", "a", "--path", "/shop", "--keep-path"])
                .contains("\"DownstreamPathTemplate\": \"/shop/{everything}\"")
        );
    }

    #[test]
    fn unusable_backends_have_a_reason() {
        assert!(text(&["--backend", "ftp://a"]).unwrap_err().contains("expected a URL"));
        assert!(
            text(&["--backend", "http://a", "--backend", "https://b"]).unwrap_err().contains("same scheme")
        );
    }
}
