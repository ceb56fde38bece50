//! A server of Envoy's `ext_authz`, version 3, by tonic. Its messages are built by hand from the published field numbers, so
//! that it shares no definition with the gateway.

use super::tonic::Plain;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A length-delimited field of Protocol Buffers.
pub fn field(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    assert!(content.len() < 128, "a short field");
    [&[number << 3 | 2, content.len() as u8], content].concat()
}

/// An integer field.
pub fn number(number: u8, value: u16) -> Vec<u8> {
    match value {
        0..128 => vec![number << 3, value as u8],
        _ => vec![number << 3, value as u8 | 128, (value >> 7) as u8],
    }
}

/// `HeaderValueOption`.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    field(1, [field(1, name), field(2, value)].concat())
}

type Decide = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

#[derive(Clone)]
struct Authorization(Decide, Arc<Mutex<Vec<Bytes>>>);

/// A function as a service.
struct Check(Authorization);

impl Service<Request<Bytes>> for Check {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let Authorization(decide, received) = self.0.clone();
        Box::pin(async move {
            let message = request.into_inner();
            received.lock().expect("requests").push(message.clone());
            match decide(&message) {
                Some(response) => Ok(Response::new(response.into())),
                None => std::future::pending().await,
            }
        })
    }
}

impl Service<http::Request<Body>> for Authorization {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let own = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Plain);
            Ok(match request.uri().path() {
                "/envoy.service.auth.v3.Authorization/Check" => grpc.unary(Check(own), request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// Starts the server on its own thread; `decide` returns the bytes of a `CheckResponse`, or nothing to hang. The requests are
/// the received messages.
pub fn start(
    decide: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<Bytes>>>) {
    let (send, receive) = std::sync::mpsc::channel();
    let authorization = Authorization(Arc::new(decide), Arc::default());
    let received = authorization.1.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            send.send(listener.local_addr().expect("an address")).expect("a receiver");
            let incoming = TcpListenerStream::new(listener);
            let _ = Server::builder().serve_with_incoming(authorization, incoming).await;
        });
    });
    (receive.recv().expect("an address"), received)
}
