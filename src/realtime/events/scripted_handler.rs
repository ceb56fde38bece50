//! A scripted HTTP server for the tests of event handlers.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the handler does with a request.
pub enum Reply {
    /// Sends these bytes.
    Send(String),
    /// Sends nothing.
    Hang,
    /// Closes the connection.
    Close,
    /// Sends a body without an end.
    Endless,
}

type Script = dyn Fn(&str) -> Reply + Send + Sync;

/// An HTTP server with a scripted response for each request.
pub struct Backend {
    pub port: u16,
    pub requests: Arc<Mutex<Vec<String>>>,
    /// Open connections.
    pub open: Arc<AtomicUsize>,
}

impl Backend {
    /// Starts it.
    pub async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, open) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let script: Arc<Script> = Arc::new(script);
        let (log, count) = (requests.clone(), open.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log, count) = (script.clone(), log.clone(), count.clone());
                tokio::spawn(async move {
                    count.fetch_add(1, Relaxed);
                    serve(stream, &*script, &log).await;
                    count.fetch_sub(1, Relaxed);
                });
            }
        });
        Backend { port, requests, open }
    }

    /// The requests that are not validations.
    pub fn posts(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.starts_with("POST ")).cloned().collect()
    }

    /// The number of validations.
    pub fn validations(&self) -> usize {
        let posts = self.posts().len();
        self.requests.lock().unwrap().len() - posts
    }
}

async fn serve(mut stream: TcpStream, script: &Script, log: &Mutex<Vec<String>>) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        log.lock().unwrap().push(request.clone());
        match script(&request) {
            Reply::Send(text) => {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Hang => {
                let _ = stream.read(&mut [0; 16]).await;
                return;
            }
            Reply::Close => return,
            Reply::Endless => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                let mut text = head.to_owned();
                while stream.write_all(text.as_bytes()).await.is_ok() {
                    text.clone_from(&chunk);
                }
                return;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            let length = field(&text, "content-length").map_or(0, |value| value.parse().unwrap());
            if buffer.len() >= end + 4 + length {
                let rest = buffer.split_off(end + 4 + length);
                return Some(String::from_utf8_lossy(&std::mem::replace(buffer, rest)).into_owned());
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// The value of a header field of a request.
pub fn field<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let head = request.split("\r\n\r\n").next()?;
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A response with these fields.
pub fn response(status: &str, fields: &str, body: &str) -> Reply {
    Reply::Send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n{body}", body.len()))
}

/// Permits every origin, and responds to events with the script.
pub async fn permissive(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Backend {
    Backend::start(move |request| match request.starts_with("OPTIONS ") {
        true => response("200 OK", "WebHook-Allowed-Origin: *\r\n", ""),
        false => script(request),
    })
    .await
}
