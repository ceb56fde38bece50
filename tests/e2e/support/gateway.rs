//! The gateway: the real binary with a configuration in its own directory.

use super::client::{Client, Request, Response, once};
use super::ports;
use super::process::{Ended, Process};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START: Duration = Duration::from_secs(20);

/// What to start the gateway with.
pub struct Setup {
    files: Vec<(String, String)>,
    /// The file (or the directory) given as `--config`, relative to the directory of the test.
    config: String,
    /// Further `--config` arguments.
    more: Vec<String>,
    threads: usize,
    env: Vec<(String, String)>,
    /// Whether the listeners are those of the document.
    own_listeners: bool,
    /// A program that embeds margay as a library, instead of margay.
    program: Option<PathBuf>,
    /// The administration uses TLS: the gateway is ready once it accepts connections.
    secure_administration: bool,
    /// The limit of file descriptors.
    descriptors: Option<usize>,
}

impl Setup {
    fn new(files: Vec<(String, String)>, config: &str) -> Setup {
        let env = Vec::new();
        Setup {
            files,
            config: config.into(),
            more: Vec::new(),
            threads: 1,
            env,
            own_listeners: false,
            program: None,
            secure_administration: false,
            descriptors: None,
        }
    }

    /// One file, `gateway.json`.
    pub fn text(text: impl Into<String>) -> Setup {
        Setup::new(vec![("gateway.json".to_owned(), text.into())], "gateway.json")
    }

    pub fn json(document: &Value) -> Setup {
        Setup::text(document.to_string())
    }

    /// A directory of files.
    pub fn directory(files: Vec<(String, String)>) -> Setup {
        Setup::new(files, ".")
    }

    pub fn threads(mut self, threads: usize) -> Setup {
        self.threads = threads;
        self
    }

    /// A further file, given as a further `--config`.
    pub fn and(mut self, name: &str, text: &str) -> Setup {
        self.more.push(name.into());
        self.file(name, text)
    }

    /// The configuration is in another directory.
    pub fn at(mut self, config: &Path) -> Setup {
        self.config = config.to_str().expect("UTF-8").into();
        self
    }

    /// Without `--listen`: the document defines the listeners.
    pub fn own_listeners(mut self) -> Setup {
        self.own_listeners = true;
        self
    }

    /// Starts one of the examples instead, a gateway with custom stages.
    pub fn example(mut self, name: &str) -> Setup {
        let built = Path::new(env!("CARGO_BIN_EXE_margay")).with_file_name("examples").join(name);
        assert!(built.exists(), "the example {name} is not built: cargo build --examples");
        self.program = Some(built);
        self
    }

    /// The document configures TLS on the administration address.
    pub fn secure_administration(mut self) -> Setup {
        self.secure_administration = true;
        self
    }

    /// With at most this many file descriptors.
    pub fn descriptors(mut self, limit: usize) -> Setup {
        self.descriptors = Some(limit);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Writes the files.
    pub fn write_to(&self, directory: &Path) {
        for (name, text) in &self.files {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("write the configuration");
        }
    }

    /// A further file next to the configuration (a policy, a secret).
    pub fn file(mut self, name: &str, text: &str) -> Setup {
        self.files.push((name.into(), text.into()));
        self
    }
}

/// The running gateway.
pub struct Gateway {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub process: Process,
    directory: TempDir,
    config: PathBuf,
}

impl Gateway {
    /// Starts it and waits until it serves.
    pub fn start(setup: &Setup) -> Gateway {
        Gateway::try_start(setup).unwrap_or_else(|e| {
            panic!("the gateway ended with {:?} instead of serving:\n{}{}", e.code, e.stdout, e.stderr)
        })
    }

    /// Starts it with one document.
    pub fn with(document: &Value) -> Gateway {
        Gateway::start(&Setup::json(document))
    }

    /// Starts it and reports how it ended if it did not become ready.
    pub fn try_start(setup: &Setup) -> Result<Gateway, Ended> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        setup.write_to(directory.path());
        let config = directory.path().join(&setup.config);
        for attempt in 0.. {
            let (listen, admin) = (ports::free_address(), ports::free_address());
            let mut process = Process::start(&mut command(setup, directory.path(), listen, admin));
            match wait_ready(&mut process, admin, setup.secure_administration) {
                Ok(()) => return Ok(Gateway { address: listen, admin, process, directory, config }),
                Err(ended) if attempt < 4 && ended.stderr.contains("in use") => {}
                Err(ended) => return Err(ended),
            }
        }
        unreachable!("the loop returns")
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// One request on its own connection.
    pub fn ask(&self, request: &Request) -> Response {
        once(self.address, request).unwrap_or_else(|f| panic!("{} {}: {f:?}", request.method, request.target))
    }

    pub fn get(&self, target: &str) -> Response {
        self.ask(&Request::get(target))
    }

    /// Sends a request to the administration address.
    pub fn admin(&self, target: &str) -> Response {
        once(self.admin, &Request::get(target)).unwrap_or_else(|f| panic!("admin {target}: {f:?}"))
    }

    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Replaces the configuration the way editors do: a new file, renamed over the old one.
    pub fn write(&self, text: &str) {
        self.write_file("gateway.json", text);
    }

    pub fn write_file(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        let beside = path.with_extension("json.new~");
        std::fs::write(&beside, text).expect("write the configuration");
        std::fs::rename(&beside, &path).expect("rename the configuration");
    }

    /// Ends the process with a signal and starts it again on the same ports and directory.
    pub fn restart(&mut self, setup: &Setup, signal: &str) -> Result<(), Ended> {
        self.process.signal(&signal.to_uppercase());
        self.process.ends_within(START).expect("the gateway ends");
        let mut process =
            Process::start(&mut command(setup, self.directory.path(), self.address, self.admin));
        wait_ready(&mut process, self.admin, setup.secure_administration)?;
        self.process = process;
        Ok(())
    }

    /// Keeps the directory after the end, for the analysis of a failure.
    pub fn keep(self) -> PathBuf {
        let Gateway { directory, .. } = self;
        directory.keep()
    }

    /// Lines of the access log written so far.
    pub fn access_log(&self) -> Vec<Value> {
        self.process.stdout().lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }

    /// Waits for an access log line that matches.
    pub fn logged(&self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        super::until(Duration::from_secs(5), || self.access_log().into_iter().find(|l| fits(l)))
    }
}

/// The binary under test: this build's, or the one that `MARGAY_BIN` names.
pub fn binary() -> std::ffi::OsString {
    std::env::var_os("MARGAY_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_margay").into())
}

fn command(setup: &Setup, directory: &Path, listen: SocketAddr, admin: SocketAddr) -> Command {
    let config = directory.join(&setup.config);
    let program = setup.program.clone().map_or_else(binary, PathBuf::into_os_string);
    let mut command = match setup.descriptors {
        None => Command::new(program),
        Some(limit) => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("ulimit -n {limit} && exec \"$0\" \"$@\"")).arg(program);
            shell
        }
    };
    command.arg("run").arg("--config").arg(config);
    for name in &setup.more {
        command.arg("--config").arg(directory.join(name));
    }
    if !setup.own_listeners {
        command.args(["--listen", &listen.to_string()]);
    }
    command.args(["--admin", &admin.to_string()]);
    command.args(["--threads", &setup.threads.to_string()]);
    command.env_remove("MARGAY_LISTEN").env_remove("MARGAY_ADMIN").env("NO_COLOR", "1");
    command.envs(setup.env.iter().map(|(k, v)| (k, v)));
    command
}

fn wait_ready(process: &mut Process, admin: SocketAddr, is_secure: bool) -> Result<(), Ended> {
    let start = Instant::now();
    loop {
        if let Some(ended) = process.ended() {
            return Err(ended);
        }
        // Without a token the status is 401; the address is served only after a plan is active.
        let is_ready = match is_secure {
            true => std::net::TcpStream::connect(admin).is_ok(),
            false => once(admin, &Request::get("/ready")).is_ok_and(|r| [200, 401].contains(&r.status)),
        };
        if is_ready {
            return Ok(());
        }
        if start.elapsed() > START {
            let (stdout, stderr) = (process.stdout(), process.stderr());
            return Err(Ended { code: None, stdout, stderr: format!("not ready after {START:?}\n{stderr}") });
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}
