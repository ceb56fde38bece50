//! Clients for the rows `hub-*` of `make bench`: many WebSockets on one thread, against a hub or a bare server.
//!
//! hub_clients MODE HOST:PORT SERVER CONNECTIONS GROUPS [SECONDS [BURST]]
//!
//! MODE is `idle` (opens, waits for a line on stdin), `fanout` (one publisher for each group, closed loop), `wide` (ten messages
//! a second to one group), `handshake` (opens and closes) or `send` (the data plane). SERVER is `margay` or `bare`. The result is one line
//! of JSON.

use margay::{
    base::secret::Secret,
    realtime::{
        config::{ServiceConfig, ServiceType},
        tokens::{ClientGrant, sign_client},
    },
};
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::BufRead,
    rc::Rc,
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

/// The key of the hub service, as in `margay.json`.
const KEY: &str = "a-key-of-the-benchmark-that-is-long-enough";
const MESSAGE_BYTES: usize = 128;
const HANDSHAKES_AT_A_TIME: usize = 64;

type Failure = Box<dyn std::error::Error>;

/// The arguments.
struct Options {
    mode: String,
    address: String,
    is_margay: bool,
    connections: usize,
    groups: usize,
    duration: Duration,
    burst: usize,
}

/// What all clients of a run share.
struct Run {
    options: Options,
    config: ServiceConfig,
    started_at: Instant,
    totals: RefCell<Totals>,
}

#[derive(Default)]
struct Totals {
    deliveries: u64,
    latencies_us: Vec<u32>,
    is_over: bool,
}

fn main() -> Result<(), Failure> {
    // `cargo bench` and `cargo test` start every bench; without arguments there is nothing to do.
    let Some(options) = options() else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = ServiceConfig {
        name: "rt".into(),
        service_type: ServiceType::WebPubSub,
        keys: vec![Secret::new(KEY)],
        public_urls: Vec::new(),
        clock_skew: Duration::ZERO,
        server_schemes: Vec::new(),
        hubs: BTreeMap::new(),
        other_hubs: None,
    };
    let run = Rc::new(Run { options, config, started_at: Instant::now(), totals: RefCell::default() });
    let result = LocalSet::new().block_on(&runtime, run_mode(run))?;
    println!("{result}");
    Ok(())
}

fn options() -> Option<Options> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize, default| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    Some(Options {
        mode: arguments.first()?.clone(),
        address: arguments.get(1)?.clone(),
        is_margay: arguments.get(2)? == "margay",
        connections: number(3, 100),
        groups: number(4, 1),
        duration: Duration::from_secs(number(5, 5) as u64),
        burst: number(6, 1),
    })
}

async fn run_mode(run: Rc<Run>) -> Result<Value, Failure> {
    match run.options.mode.as_str() {
        "idle" => idle(&run).await,
        "fanout" | "wide" => fan_out(run).await,
        "handshake" => handshakes(run).await,
        "send" => send(run).await,
        other => Err(format!("unknown mode {other}").into()),
    }
}

impl Run {
    /// The path of a client of this group: a simple client that publishes to its group and is a member of it.
    fn path(&self, group: usize) -> String {
        if !self.options.is_margay {
            return format!("/?group={group}");
        }
        let grant = ClientGrant {
            user_id: None,
            roles: vec![format!("webpubsub.sendToGroup.g{group}")],
            groups: vec![format!("g{group}")],
            lifetime: Duration::from_secs(3600),
        };
        let base = format!("http://{}", self.options.address);
        let token = sign_client(&self.config, &base, "bench", &grant, SystemTime::now());
        format!("/client/hubs/bench?access_token={token}&webpubsub_mode=sendToGroup&group=g{group}")
    }

    /// An open WebSocket.
    async fn open(&self, group: usize) -> Result<TcpStream, Failure> {
        let mut stream = TcpStream::connect(&self.options.address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.path(group),
            self.options.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
        match head.starts_with(b"HTTP/1.1 101") {
            true => Ok(stream),
            false => Err(String::from_utf8_lossy(&head).into()),
        }
    }

    /// All connections, in groups of the same size.
    async fn open_all(&self) -> Result<Vec<TcpStream>, Failure> {
        let mut streams = Vec::with_capacity(self.options.connections);
        for n in 0..self.options.connections {
            streams.push(self.open(n % self.options.groups).await?);
        }
        Ok(streams)
    }
}

async fn idle(run: &Run) -> Result<Value, Failure> {
    let streams = run.open_all().await?;
    println!("{}", json!({ "open": streams.len() }));
    std::io::stdin().lock().read_line(&mut String::new())?;
    Ok(json!({ "connections": streams.len() }))
}

/// A masked text frame with the time since the start.
fn frame(started_at: Instant) -> Vec<u8> {
    let mut payload = format!("{:020}", started_at.elapsed().as_nanos()).into_bytes();
    payload.resize(MESSAGE_BYTES, b'x');
    // A mask of zeros leaves the payload as it is.
    let mut frame = vec![0x81, 0x80 | 126, 0, MESSAGE_BYTES as u8, 0, 0, 0, 0];
    frame.extend_from_slice(&payload);
    frame
}

async fn fan_out(run: Rc<Run>) -> Result<Value, Failure> {
    let streams = run.open_all().await?;
    let is_wide = run.options.mode == "wide";
    let mut tasks = Vec::new();
    for (n, stream) in streams.into_iter().enumerate() {
        let is_publisher = n < run.options.groups;
        tasks.push(tokio::task::spawn_local(client(run.clone(), stream, is_publisher, is_wide)));
    }
    tokio::time::sleep(run.options.duration).await;
    run.totals.borrow_mut().is_over = true;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let mut totals = run.totals.borrow_mut();
    totals.latencies_us.sort_unstable();
    let quantile = |q: f64| {
        let last = totals.latencies_us.len().saturating_sub(1);
        totals.latencies_us.get((last as f64 * q) as usize).copied().unwrap_or_default()
    };
    let seconds = run.options.duration.as_secs_f64();
    Ok(json!({
        "deliveries": totals.deliveries, "per_second": totals.deliveries as f64 / seconds,
        "p50_us": quantile(0.5), "p99_us": quantile(0.99),
    }))
}

/// Receives; a publisher sends the next burst when it has received the previous one, or ten messages a second.
async fn client(run: Rc<Run>, mut stream: TcpStream, is_publisher: bool, is_wide: bool) {
    let (mut buffer, mut outstanding) = (Vec::with_capacity(16 << 10), 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        if is_publisher && !is_wide && outstanding == 0 {
            outstanding = run.options.burst;
            let burst: Vec<u8> = (0..outstanding).flat_map(|_| frame(run.started_at)).collect();
            if stream.write_all(&burst).await.is_err() {
                return;
            }
        }
        tokio::select! {
            read = stream.read_buf(&mut buffer) => match read {
                Ok(n) if n > 0 => {}
                _ => return,
            },
            _ = ticks.tick(), if is_publisher && is_wide => {
                if stream.write_all(&frame(run.started_at)).await.is_err() {
                    return;
                }
            }
        }
        outstanding -= run.count(&mut buffer).min(outstanding);
    }
}

impl Run {
    /// Counts the complete frames and removes them.
    fn count(&self, buffer: &mut Vec<u8>) -> usize {
        let (mut at, mut count) = (0, 0);
        let mut totals = self.totals.borrow_mut();
        let now = self.started_at.elapsed().as_nanos();
        while let Some([first, second]) = buffer.get(at..at + 2) {
            let (header, len) = match second & 0x7f {
                126 => match buffer.get(at + 2..at + 4) {
                    Some([high, low]) => (4, usize::from(*high) << 8 | usize::from(*low)),
                    _ => break,
                },
                len => (2, usize::from(len)),
            };
            let Some(payload) = buffer.get(at + header..at + header + len) else { break };
            if first & 0x0f == 1 {
                count += 1;
                let sent =
                    std::str::from_utf8(&payload[..20.min(len)]).ok().and_then(|text| text.parse().ok());
                let latency_us = now.saturating_sub(sent.unwrap_or(now)) / 1000;
                totals.latencies_us.push(u32::try_from(latency_us).unwrap_or(u32::MAX));
            }
            at += header + len;
        }
        buffer.drain(..at);
        if !totals.is_over {
            totals.deliveries += count as u64;
        }
        count
    }
}

async fn handshakes(run: Rc<Run>) -> Result<Value, Failure> {
    let mut tasks = Vec::new();
    for _ in 0..HANDSHAKES_AT_A_TIME {
        let run = run.clone();
        tasks.push(tokio::task::spawn_local(async move {
            while run.open(0).await.is_ok() {
                run.totals.borrow_mut().deliveries += 1;
            }
        }));
    }
    finish(&run, tasks, "handshakes").await
}

/// Requests of the data plane over keep-alive connections.
async fn send(run: Rc<Run>) -> Result<Value, Failure> {
    let token = sign_send(&run);
    let mut tasks = Vec::new();
    for _ in 0..run.options.connections {
        let (run, token) = (run.clone(), token.clone());
        tasks.push(tokio::task::spawn_local(async move {
            let Ok(mut stream) = TcpStream::connect(&run.options.address).await else { return };
            let request = format!(
                "POST /api/hubs/bench/:send?api-version=2024-12-01 HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: text/plain\r\nContent-Length: {MESSAGE_BYTES}\r\n\r\n{}",
                run.options.address,
                "x".repeat(MESSAGE_BYTES)
            );
            let mut response = Vec::new();
            loop {
                response.clear();
                if stream.write_all(request.as_bytes()).await.is_err() {
                    return;
                }
                while !response.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut response).await.unwrap_or_default() == 0 {
                        return;
                    }
                }
                if !response.starts_with(b"HTTP/1.1 202") {
                    return;
                }
                run.totals.borrow_mut().deliveries += 1;
            }
        }));
    }
    finish(&run, tasks, "requests").await
}

fn sign_send(run: &Run) -> String {
    let expiry =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() + 3600;
    let audience = format!("http://{}/api/hubs/bench/:send", run.options.address);
    let key = jsonwebtoken::EncodingKey::from_secret(KEY.as_bytes());
    let claims = json!({ "aud": audience, "exp": expiry });
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap_or_default()
}

async fn finish(run: &Run, tasks: Vec<tokio::task::JoinHandle<()>>, unit: &str) -> Result<Value, Failure> {
    tokio::time::sleep(run.options.duration).await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let count = run.totals.borrow().deliveries;
    Ok(json!({ unit: count, "per_second": count as f64 / run.options.duration.as_secs_f64() }))
}
