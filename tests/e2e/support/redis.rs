//! Redis: real `redis-server` processes that store nothing on disk.

use super::ports;
use super::tls::Authority;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const DUMP: &str = "dump.rdb";

/// A server; it ends with this value.
pub struct Redis {
    pub port: u16,
    directory: TempDir,
    options: Vec<String>,
    process: Child,
}

impl Redis {
    pub fn start() -> Redis {
        Redis::with(&[])
    }

    pub fn with(options: &[&str]) -> Redis {
        Redis::at(ports::free(), options)
    }

    /// Starts a server on this port.
    pub fn at(port: u16, options: &[&str]) -> Redis {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let directory = TempDir::new().expect("a directory");
        let process = spawn(port, &directory, &options);
        let redis = Redis { port, directory, options, process };
        redis.wait();
        redis
    }

    /// A server with a port for TLS, which requires client certificates of the same authority.
    pub fn secure(authority: &Authority) -> (Redis, u16) {
        let (directory, port) = (TempDir::new().expect("a directory"), ports::free());
        let issued = authority.issue(&["redis.internal"]);
        let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
        for (name, text) in [("ca", authority.pem()), ("cert", issued.chain), ("key", issued.key)] {
            std::fs::write(path(name), text).expect("write a certificate");
        }
        let (ca, certificate, key, tls_port) = (path("ca"), path("cert"), path("key"), port.to_string());
        let redis = Redis::with(&[
            "--tls-port",
            &tls_port,
            "--tls-auth-clients",
            "yes",
            "--tls-ca-cert-file",
            &ca,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
        ]);
        (redis, port)
    }

    /// Three nodes of a cluster that serves all slots.
    pub fn cluster() -> Vec<Redis> {
        let nodes: Vec<Redis> = (0..3)
            .map(|_| {
                let bus = ports::free().to_string();
                Redis::with(&["--cluster-enabled", "yes", "--cluster-port", &bus])
            })
            .collect();
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .arg("--cluster-yes")
            .stdout(Stdio::null())
            .status();
        assert!(created.expect("redis-cli").success(), "the cluster is not created");
        for node in &nodes {
            // A node may refuse commands for a moment after the slots are assigned.
            let serves = || (!node.command(&["GET", "probe"]).starts_with("-CLUSTERDOWN")).then_some(());
            super::until(Duration::from_secs(10), serves).expect("the cluster serves all slots");
        }
        nodes
    }

    /// A Sentinel that watches a primary called `mymaster` and fails over after 500 ms.
    pub fn sentinel(primary: u16) -> Redis {
        let port = ports::free();
        let directory = TempDir::new().expect("a directory");
        let file = directory.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n"
        );
        std::fs::write(&file, text).expect("write the configuration");
        let process = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server");
        let sentinel = Redis { port, directory, options: Vec::new(), process };
        sentinel.wait();
        sentinel
    }

    fn wait(&self) {
        let listens = || TcpStream::connect(("127.0.0.1", self.port)).ok();
        super::until(Duration::from_secs(10), listens).expect("redis-server listens");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The first line of the reply to a command.
    pub fn command(&self, words: &[&str]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect to Redis");
        let mut text = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| text += &format!("${}\r\n{word}\r\n", word.len()));
        stream.write_all(text.as_bytes()).expect("write to Redis");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("read from Redis");
        line.trim_end().to_owned()
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
        self.process = spawn(self.port, &self.directory, &self.options);
        self.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(port: u16, directory: &TempDir, options: &[String]) -> Child {
    // A replication writes this file, and a server reads it when it starts.
    let _ = std::fs::remove_file(directory.path().join(DUMP));
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
        .args(["--dir", directory.path().to_str().expect("UTF-8"), "--dbfilename", DUMP])
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server, from the package of this name")
}
