//! A client that keeps idle connections, for calls that requests of clients wait for.

use super::{
    client::{Client, Response},
    connection::Connection,
    request::{Request, RequestLimits, invalid_data},
};
use crate::net::tls::client::ClientTls;
use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Pools of idle connections; callers on different threads use different ones.
const SHARD_COUNT: usize = 16;
/// Idle connections of one pool.
const MAX_IDLE: usize = 64;
/// Shorter than the keep-alive timeout of the common servers, of which that of Node is the shortest.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// An HTTP/1.1 client for one server.
#[derive(Debug)]
pub struct KeepAliveClient {
    client: Client,
    idle: [Mutex<IdleConnections>; SHARD_COUNT],
}

#[derive(Default)]
struct IdleConnections(Vec<(Connection, Instant)>);

impl std::fmt::Debug for IdleConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} idle", self.0.len())
    }
}

impl KeepAliveClient {
    /// A client with these TLS settings and without a connection.
    pub fn new(tls: ClientTls) -> KeepAliveClient {
        KeepAliveClient { client: Client::with_tls(tls), idle: Default::default() }
    }

    /// Sends a request and receives the complete response; an error contains the URL and the reason. A request that an idle
    /// connection did not respond to at all is sent again on a new one. `shard`: the number of the worker, whose
    /// connections it uses.
    pub async fn send(
        &self,
        request: &Request<'_>,
        limits: RequestLimits,
        shard: usize,
    ) -> Result<Response, String> {
        let url = request.url;
        match tokio::time::timeout(limits.timeout, self.exchange(request, limits.max_body, shard)).await {
            Ok(response) => response.map_err(|error| format!("{url}: {error}")),
            Err(_) => Err(format!("{url}: no complete response within {:?}", limits.timeout)),
        }
    }

    async fn exchange(&self, request: &Request<'_>, max_body: usize, shard: usize) -> io::Result<Response> {
        let head_bytes = request.head(true)?;
        if let Some(mut connection) = self.check_out(shard) {
            match connection.exchange(request, &head_bytes).await {
                Ok(head) => return self.finish(head, connection, max_body, shard).await,
                Err(error) if !connection.has_no_response() => return Err(error),
                Err(_) => {}
            }
        }
        let mut connection = Connection::connect(request, self.client.tls(request)?).await?;
        let head = connection.exchange(request, &head_bytes).await?;
        self.finish(head, connection, max_body, shard).await
    }

    async fn finish(
        &self,
        head: crate::pipeline::head::Head,
        mut connection: Connection,
        max_body: usize,
        shard: usize,
    ) -> io::Result<Response> {
        let mut body = Vec::new();
        while connection.read_chunk(&mut body).await? {
            if body.len() > max_body {
                return Err(invalid_data(&format!("the response is larger than {max_body} bytes")));
            }
        }
        if connection.recycle() {
            let mut idle = self.pool(shard);
            if idle.0.len() < MAX_IDLE {
                idle.0.push((connection, Instant::now()));
            }
        }
        Ok(Response { head, body })
    }

    /// The idle connection that was used last.
    fn check_out(&self, shard: usize) -> Option<Connection> {
        let mut idle = self.pool(shard);
        match idle.0.pop() {
            Some((connection, since)) if since.elapsed() < IDLE_TIMEOUT => Some(connection),
            // The others are older.
            _ => {
                idle.0.clear();
                None
            }
        }
    }

    fn pool(&self, shard: usize) -> MutexGuard<'_, IdleConnections> {
        self.idle[shard % SHARD_COUNT].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::url::HttpUrl;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    const LIMITS: RequestLimits = RequestLimits { timeout: Duration::from_secs(5), max_body: 64 };

    /// A server whose connections serve this many requests each and then close.
    async fn server(requests: usize) -> (HttpUrl, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = HttpUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                for _ in 0..requests {
                    if stream.read(&mut [0; 1024]).await.unwrap_or(0) == 0 {
                        break;
                    }
                    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{connection}");
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            }
        });
        (url, task)
    }

    #[tokio::test]
    async fn connections_are_reused_and_a_closed_one_is_replaced() {
        let (url, server) = server(2).await;
        let client = KeepAliveClient::new(ClientTls::default());
        let mut bodies = String::new();
        for _ in 0..6 {
            let response = client.send(&Request::get(&url), LIMITS, 0).await.unwrap();
            bodies += std::str::from_utf8(&response.body).unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(bodies, "001122");
        server.abort();
    }

    #[tokio::test]
    async fn a_response_that_ends_with_the_connection_is_complete_and_not_reused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = HttpUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall").await.unwrap();
            }
        });
        let client = KeepAliveClient::new(ClientTls::default());
        for _ in 0..2 {
            let response = client.send(&Request::get(&url), LIMITS, 3).await.unwrap();
            assert_eq!(response.body, b"all");
        }
        server.await.unwrap();
    }
}
