//! A small server for what the gateway says about itself: one request after the other, each answered by a function.
//! It speaks through the same codec as the gateway, but on the background runtime, where it delays nobody.

use super::relay::{framing, relay};
use crate::{
    net::{
        client_io::ClientIo,
        h1::{
            client::{ClientConn, ClientLimits, Next},
            hop_by_hop,
            parse::HeadLimits,
        },
        listener::{Accepted, Acceptor, BoundSocket},
    },
    pipeline::{
        exchange::Peer,
        head::Head,
        response::{Response, rescue},
    },
};
use std::{
    io,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Answers a request of which only the head is looked at.
pub type Handler = Arc<dyn Fn(&Head) -> Response + Send + Sync>;

/// Connections at one time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_LIMITS: ClientLimits = ClientLimits {
    head: HeadLimits { max_line_bytes: 8 * 1024, max_fields_bytes: 32 * 1024, max_fields: 100 },
    body: 64 * 1024,
    head_timeout: Duration::from_secs(5),
    idle_timeout: IDLE_TIMEOUT,
};

/// Serves for as long as the runtime lives; must be called on it.
pub async fn serve(socket: &BoundSocket, handler: Handler) -> io::Result<()> {
    let acceptor = Acceptor::new(socket)?;
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(seat) = seats.clone().acquire_owned().await else { return Ok(()) };
        match acceptor.accept().await {
            Ok(accepted) => {
                let handler = handler.clone();
                drop(tokio::spawn(async move {
                    connection(accepted, handler).await;
                    drop(seat);
                }));
            }
            Err(error) => {
                log::warn!("an administration connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(accepted: Accepted, handler: Handler) {
    let peer = Peer::new(accepted.peer, accepted.local, false);
    let mut conn = ClientConn::new(accepted.io, peer);
    let mut head = Head::default();
    while conn.wait_readable(Instant::now(), IDLE_TIMEOUT, |_| Poll::Pending).await {
        let (mut answer, keep, for_head) = match conn.next_head(&mut head, &HEAD_LIMITS).await {
            Next::Request => (handler(&head), !hop_by_hop::strip(&mut head).close, head.method() == b"HEAD"),
            Next::Rejected(cause) => (rescue(&cause, b"", b"", false), false, false),
            Next::Closed | Next::Http2 | Next::NotHttp(_) => return,
        };
        let framing = framing(&answer, for_head, conn.version());
        conn.send_head(&answer.head, framing, keep);
        if for_head {
            answer.body = Default::default();
        }
        if relay(&mut conn, &mut answer.body, IDLE_TIMEOUT).await.is_err() {
            return;
        }
        let until = Instant::now() + HEAD_LIMITS.head_timeout;
        if !keep || !conn.drain(HEAD_LIMITS.body, until).await {
            return conn.close_lingering(HEAD_LIMITS.body, until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::listener::{Address, bind};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn exchange(bytes: &[u8]) -> String {
        let socket = bind(&Address::Tcp("127.0.0.1:0".parse().unwrap()), None).unwrap();
        let Ok(Address::Tcp(address)) = socket.address() else { panic!("it has an address") };
        let handler = |head: &Head| Response::local(200, "text/plain", head.target().to_vec());
        let server = tokio::spawn(async move { serve(&socket, Arc::new(handler)).await });
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn requests_are_answered_in_order_and_bodies_passed_over() {
        let answer = exchange(
            b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(answer.contains("\r\n\r\n/aHTTP/1.1 200 OK") && answer.ends_with("\r\n\r\n/b"), "{answer}");
    }

    #[tokio::test]
    async fn head_gets_a_head_and_nonsense_a_400() {
        let answer = exchange(b"HEAD /abc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(
            answer.to_ascii_lowercase().contains("content-length: 4\r\n") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        assert!(exchange(b"nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    }
}
