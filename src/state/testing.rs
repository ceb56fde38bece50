//! Redis servers for tests.

use super::{SharedState, SharedStateConfig, SharedStates};
use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// A `redis-server` process that stores nothing on disk; it ends with this value.
pub struct RedisServer {
    pub port: u16,
    options: Vec<String>,
    process: Child,
}

impl RedisServer {
    /// Starts a server on a free port.
    pub fn start() -> RedisServer {
        RedisServer::with(&[])
    }

    /// Starts a server with further options.
    pub fn with(options: &[&str]) -> RedisServer {
        let port = free_port();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let process = spawn(port, &options);
        let mut server = RedisServer { port, options, process };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "redis-server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        // Another process may have taken the port: then this one has ended.
        std::thread::sleep(Duration::from_millis(10));
        assert!(self.process.try_wait().expect("a process").is_none(), "redis-server has ended");
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.process.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// Ends the process at once.
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Ends the process and starts it again, empty.
    pub fn restart(&mut self) {
        self.stop();
        self.process = spawn(self.port, &self.options);
        self.wait();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
        remove_file(self.port);
    }
}

fn spawn(port: u16, options: &[String]) -> Child {
    remove_file(port);
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
        // A replication writes this file, and a server reads it when it starts.
        .args(["--dir", std::env::temp_dir().to_str().expect("UTF-8")])
        .args(["--dbfilename", &file_name(port)])
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server, from the package of this name")
}

/// A port below the range of outgoing connections.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(12_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A shared state of these settings, connected; the first value keeps its thread.
pub fn connect(config: &SharedStateConfig) -> (SharedStates, Arc<SharedState>) {
    let states = SharedStates::active(Arc::default());
    let state = states.get(config);
    wait_until(|| state.is_available());
    (states, state)
}

/// Waits for a condition.
pub fn wait_until(condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < until, "the condition does not become true");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn file_name(port: u16) -> String {
    format!("margay-test-{port}.rdb")
}

fn remove_file(port: u16) {
    let _ = std::fs::remove_file(std::env::temp_dir().join(file_name(port)));
}
