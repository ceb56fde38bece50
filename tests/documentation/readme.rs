//! The tour of the README: every line of its `console` blocks that begins with `$` is run in a shell against
//! `margay demo`, and the output must contain what the block shows.
//!
//! A shown line must be a line of the output, in the order shown; `...` in it stands for anything, and a line of only
//! `...` for any lines. Everything runs in a copy of the shipped configuration, on its own ports.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MARGAY: &str = env!("CARGO_BIN_EXE_margay");
const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);

/// One command of the tour and what the README shows below it.
#[derive(Debug, PartialEq)]
pub struct Step {
    line: usize,
    command: String,
    shown: Vec<String>,
}

/// All steps of the `console` blocks, in order.
pub fn steps(readme: &str) -> Vec<Step> {
    let (mut steps, mut inside) = (Vec::<Step>::new(), false);
    for (number, line) in readme.lines().enumerate() {
        if let Some(fence) = line.strip_prefix("```") {
            inside = !inside && fence == "console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            steps.push(Step { line: number + 1, command: command.to_owned(), shown: Vec::new() });
        } else if inside && let Some(step) = steps.last_mut() {
            step.shown.push(line.trim_end().to_owned());
        }
    }
    steps
}

/// The first shown line that is missing from the output.
fn missing<'s>(shown: &'s [String], output: &str) -> Option<&'s str> {
    let mut lines = output.lines().map(str::trim_end);
    let expected = shown.iter().map(String::as_str).filter(|line| !line.is_empty() && *line != "...");
    expected.into_iter().find(|want| !lines.any(|line| fits(want, line)))
}

/// Whether a line is as shown, `...` matching any text. Names of header fields are case-insensitive.
fn fits(shown: &str, line: &str) -> bool {
    let line = match (shown.split_once(": "), line.split_once(": ")) {
        (Some((a, _)), Some((b, rest))) if a.eq_ignore_ascii_case(b) => format!("{a}: {rest}"),
        _ => line.to_owned(),
    };
    let mut parts = shown.split("...");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// `margay demo` in its own folder, or its backends and a gateway; killed when dropped.
pub struct Demo {
    folder: tempfile::TempDir,
    processes: Vec<Child>,
    /// (port in the README, port of this run).
    ports: Vec<(&'static str, u16)>,
}

impl Demo {
    fn start() -> Demo {
        let folder = tempfile::tempdir().unwrap();
        copy(&Path::new(ROOT).join("gateway.json"), &folder.path().join("gateway.json"));
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        for policy in ["cached", "edge", "partner", "protected", "resilient"] {
            let name = format!("policies/{policy}.json");
            copy(&Path::new(ROOT).join(&name), &folder.path().join(&name));
        }
        let key = "deploy/examples/bff/sign-in/sample.session.key";
        let target = folder.path().join(key);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        copy(&Path::new(ROOT).join(key), &target);
        let names = [
            "8080", "8081", "9101", "9102", "9103", "9104", "9109", "9105", "9106", "9107", "9108", "9110",
            "9111", "8082",
        ];
        let ports: Vec<_> = names.into_iter().zip(free_ports(names.len())).collect();
        let mut demo = Command::new(MARGAY);
        demo.arg("demo").current_dir(folder.path());
        demo.env("MARGAY_LISTEN", format!("127.0.0.1:{}", ports[0].1));
        demo.env("MARGAY_ADMIN", format!("127.0.0.1:{}", ports[1].1));
        set_services(&mut demo, &ports);
        let log = std::fs::File::create(folder.path().join("margay.log")).unwrap();
        let process = demo.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let demo = Demo { folder, processes: vec![process], ports };
        demo.wait_until_ready();
        demo
    }

    /// The backends alone, and the gateway of an example in front of them; the folder is a copy of the example.
    pub fn example(name: &str, listeners: &[(&'static str, &'static str)]) -> Demo {
        let folder = tempfile::tempdir().unwrap();
        copy_all(&Path::new(ROOT).join("deploy/examples").join(name), folder.path());
        let services =
            ["9101", "9102", "9103", "9104", "9109", "9105", "9106", "9107", "9108", "9110", "9111", "8082"];
        let names = [listeners[0].1, listeners[1].1].into_iter().chain(services);
        let names: Vec<_> = names.chain(listeners[2..].iter().map(|(_, port)| *port)).collect();
        let ports: Vec<_> = names.iter().copied().zip(free_ports(names.len())).collect();
        let mut demo = Demo { folder, processes: Vec::new(), ports };
        let real =
            |said: &str| demo.ports.iter().find(|(port, _)| *port == said).map_or(0, |(_, real)| *real);
        let mut gateway = Command::new(MARGAY);
        gateway.args(["run", "--config", "gateway.json"]);
        for (variable, port) in listeners {
            gateway.env(variable, format!("127.0.0.1:{}", real(port)));
        }
        let mut services = Command::new(MARGAY);
        services.args(["demo", "--services-only"]);
        for mut command in [services, gateway] {
            set_services(&mut command, &demo.ports);
            let log = std::fs::File::options()
                .create(true)
                .append(true)
                .open(demo.folder.path().join("margay.log"));
            command.current_dir(demo.folder.path()).stdout(Stdio::null()).stderr(log.unwrap());
            demo.processes.push(command.spawn().unwrap());
        }
        demo.wait_until_ready();
        demo
    }

    fn wait_until_ready(&self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.ports[0].1)).is_err() {
            assert!(start.elapsed() < STARTUP_TIMEOUT, "margay does not listen:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs all steps of a page.
    pub fn take_all(&self, page: &str) {
        for step in &steps(page) {
            if let Err(text) = self.take(step) {
                panic!("{text}\nmargay printed:\n{}", self.log());
            }
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("margay.log")).unwrap_or_default()
    }

    /// The text with the ports of this run, and a load test of one second instead of ten.
    fn localised(&self, text: &str) -> String {
        let text = self.ports.iter().fold(text.to_owned(), |text, (said, real)| {
            text.replace(&format!(":{said}"), &format!(":{real}"))
        });
        text.replace("-d10s", "-d1s")
    }

    /// The output of a command, on both streams.
    fn run(&self, command: &str) -> String {
        let mut shell = Command::new("bash");
        let path =
            format!("{}:{}", Path::new(MARGAY).parent().unwrap().display(), std::env::var("PATH").unwrap());
        shell
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(self.folder.path())
            .env("PATH", path);
        set_services(&mut shell, &self.ports);
        let output = shell.stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a step until it shows the expected output: a change of a file takes a moment to be applied.
    fn take(&self, step: &Step) -> Result<(), String> {
        let command = self.localised(&step.command);
        let shown: Vec<_> = step.shown.iter().map(|line| self.localised(line)).collect();
        let changes = ["sed ", "cp ", "wrk ", "echo "].iter().any(|c| command.starts_with(c));
        let start = Instant::now();
        loop {
            let output = self.run(&command);
            let Some(line) = missing(&shown, &output) else { return Ok(()) };
            if changes || start.elapsed() > Duration::from_secs(5) {
                return Err(format!("line {}: $ {command}\nno line like: {line}\nin:\n{output}", step.line));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn set_services(command: &mut Command, ports: &[(&str, u16)]) {
    let names = [
        "CATALOG_PORT",
        "CATALOG2_PORT",
        "ORDERS_PORT",
        "ECHO_PORT",
        "BROKEN_PORT",
        "IDENTITY_PORT",
        "FLAKY_PORT",
        "EVENTS_PORT",
        "LIVE_PORT",
        "ECHO_TCP_PORT",
        "ECHO_UDP_PORT",
        "ECHO_LISTEN_PORT",
    ];
    for (name, (_, port)) in names.iter().zip(&ports[2..]) {
        command.env(name, port.to_string());
    }
}

fn copy(from: &Path, to: &PathBuf) {
    std::fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            copy(&entry.path(), &to);
        }
    }
}

/// Free ports, all allocated before the first is released.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|l| l.local_addr().unwrap().port()).collect()
}

fn readme() -> String {
    let mut text = String::new();
    std::fs::File::open(Path::new(ROOT).join("README.md")).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_tour_of_the_readme_produces_the_output_shown() {
    for tool in ["curl", "wrk"] {
        let found = Command::new(tool).arg("--version").output().is_ok();
        assert!(found, "{tool} is not installed; `make test` installs it");
    }
    let demo = Demo::start();
    let steps = steps(&readme());
    assert!(steps.len() >= 12, "the tour has only {} steps", steps.len());
    demo.take_all(&readme());
}

#[test]
fn only_console_blocks_are_steps() {
    let text = "```sh\n$ no\n```\n```console\n$ one\nout\n$ two\n```\n$ three\n";
    let step = |line, command: &str, shown: &[&str]| Step {
        line,
        command: command.into(),
        shown: shown.iter().map(|s| (*s).into()).collect(),
    };
    assert_eq!(steps(text), [step(5, "one", &["out"]), step(7, "two", &[])]);
}

#[test]
fn shown_lines_must_appear_in_order() {
    let shown = |lines: &[&str]| lines.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let output = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"hello\":\"ann\"}\n";
    assert_eq!(
        missing(
            &shown(&["HTTP/1.1 200 OK", "Content-Type: application/json", "...", "{\"hello\":\"...\"}"]),
            output
        ),
        None
    );
    assert_eq!(missing(&shown(&["{\"hello\":\"ann\"}", "HTTP/1.1 200 OK"]), output), Some("HTTP/1.1 200 OK"));
    assert_eq!(missing(&shown(&["HTTP/1.1 200"]), output), Some("HTTP/1.1 200"), "the whole line");
}

#[test]
fn every_path_named_in_a_document_exists() {
    let tops = ["docs/", "src/", "tests/", "benches/", "deploy/", "policies/", "fuzz/", ".ci/"];
    let mut lost = Vec::new();
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "benches/README.md",
        "docs/configuration.md",
        "docs/development.md",
        "docs/operation.md",
        "docs/telemetry.md",
    ] {
        let text = std::fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let named =
                tops.iter().any(|top| quoted.starts_with(top)) && !quoted.contains([' ', '{', '*', '\n']);
            // NAME stands for any name.
            if named && !quoted.contains("NAME") && !Path::new(ROOT).join(quoted).exists() {
                lost.push(format!("{page}: {quoted}"));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
}
