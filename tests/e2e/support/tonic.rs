//! gRPC by another library (tonic), on both ends: a service with a call of each kind over plain bytes, and its client.

use super::tls::{Authority, Issued};
use bytes::{Buf, BufMut, Bytes};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_rustls::rustls::crypto::ring;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, BoxStream, Service};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};

/// Messages of raw bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Plain;
    type Decoder = Plain;

    fn encoder(&mut self) -> Plain {
        Plain
    }

    fn decoder(&mut self) -> Plain {
        Plain
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// What the backend recorded.
#[derive(Debug, Default)]
pub struct Seen {
    /// Calls that were started.
    pub begun: AtomicUsize,
    /// Calls that their client canceled.
    pub cancelled: AtomicUsize,
}

/// Counts a call that is dropped before its end.
struct Guard(Arc<Seen>, bool);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.cancelled.fetch_add(usize::from(!self.1), SeqCst);
    }
}

/// A function as a service.
struct Call<F>(F);

impl<F, R, T, Fut> Service<Request<R>> for Call<F>
where
    F: FnMut(Request<R>) -> Fut,
    Fut: Future<Output = Result<Response<T>, Status>>,
{
    type Response = Response<T>;
    type Error = Status;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<R>) -> Fut {
        (self.0)(request)
    }
}

/// The service: `/echo.Echo/` and the kind of the call.
#[derive(Clone, Default)]
struct Echo(Arc<Seen>);

/// One message: a response with the received metadata, an error with its own, or no response.
async fn unary(request: Request<Bytes>, seen: Arc<Seen>) -> Result<Response<Bytes>, Status> {
    let mut guard = Guard(seen, false);
    let (metadata, _, message) = request.into_parts();
    if message == "slow" {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    guard.1 = true;
    if message == "fail" {
        let mut more = MetadataMap::new();
        more.insert("x-why", "so".parse().expect("a value"));
        more.insert_bin("x-why-bin", tonic::metadata::MetadataValue::from_bytes(&[0, 159, 146, 150]));
        let details = Bytes::from_static(b"\x01\x02");
        return Err(Status::with_details_and_metadata(Code::NotFound, "no such thing: 100 %", details, more));
    }
    let mut answer = Response::new(message);
    for name in ["x-echo", "grpc-timeout"] {
        if let Some(value) = metadata.get(name) {
            answer.metadata_mut().insert(if name == "x-echo" { name } else { "x-time" }, value.clone());
        }
    }
    if let Some(value) = metadata.get_bin("x-echo-bin") {
        answer.metadata_mut().insert_bin("x-echo-bin", value.clone());
    }
    Ok(answer)
}

/// As many messages as the request specifies, then the end, an error, or silence.
async fn several(request: Request<Bytes>, seen: Arc<Seen>) -> Result<Response<BoxStream<Bytes>>, Status> {
    let text = String::from_utf8_lossy(request.get_ref()).into_owned();
    let (count, then) = text.split_once(' ').unwrap_or((&text, ""));
    let count: usize = count.parse().map_err(|_| Status::invalid_argument("no number"))?;
    let then = then.to_owned();
    let (send, receive) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        for n in 0..count {
            let _ = send.send(Ok(Bytes::from(n.to_string()))).await;
        }
        match then.as_str() {
            "break" => drop(send.send(Err(Status::data_loss("broken"))).await),
            "endless" => {
                send.closed().await;
                seen.cancelled.fetch_add(1, SeqCst);
            }
            _ => {}
        }
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
}

async fn count(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let (mut messages, mut bytes, mut stream) = (0, 0, request.into_inner());
    while let Some(message) = stream.next().await {
        messages += 1;
        bytes += message?.len();
    }
    Ok(Response::new(Bytes::from(format!("{messages} {bytes}"))))
}

async fn both(request: Request<Streaming<Bytes>>) -> Result<Response<BoxStream<Bytes>>, Status> {
    Ok(Response::new(Box::pin(request.into_inner())))
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let seen = self.0.clone();
        seen.begun.fetch_add(1, SeqCst);
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Plain);
            Ok(match request.uri().path() {
                "/echo.Echo/Unary" => grpc.unary(Call(|request| unary(request, seen.clone())), request).await,
                "/echo.Echo/ServerStream" => {
                    grpc.server_streaming(Call(|request| several(request, seen.clone())), request).await
                }
                "/echo.Echo/ClientStream" => grpc.client_streaming(Call(count), request).await,
                "/echo.Echo/Both" => grpc.streaming(Call(both), request).await,
                _ => Status::unimplemented("no such call").into_http(),
            })
        })
    }
}

/// Starts the service, over TLS if there is a certificate; it ends with the runtime.
pub async fn service(own: Option<&Issued>) -> (SocketAddr, Arc<Seen>) {
    // The default of the library.
    let _ = ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, echo) = (listener.local_addr().expect("an address"), Echo::default());
    let seen = echo.0.clone();
    let mut server = Server::builder();
    if let Some(own) = own {
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(&own.chain, &own.key));
        server = server.tls_config(tls).expect("a certificate");
    }
    tokio::spawn(server.serve_with_incoming(echo, TcpListenerStream::new(listener)));
    (address, seen)
}

/// A client, over TLS if an authority is given.
pub struct Client(Channel);

/// The metadata of a response, its messages, and its trailers.
#[derive(Debug)]
pub struct Streamed {
    pub messages: Vec<String>,
    pub end: Result<Option<MetadataMap>, Status>,
}

impl Client {
    pub async fn connect(address: SocketAddr, authority: Option<&Authority>) -> Client {
        let scheme = if authority.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).expect("an address");
        if let Some(authority) = authority {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
            endpoint = endpoint.tls_config(tls.domain_name("localhost")).expect("an authority");
        }
        Client(endpoint.connect().await.expect("a connection"))
    }

    async fn ready(&self) -> tonic::client::Grpc<Channel> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.expect("ready");
        grpc
    }

    /// A call with one message and one response.
    pub async fn unary(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        self.ready().await.unary(request, path("Unary"), Plain).await
    }

    /// The same with this text and a client id.
    pub async fn ask(&self, text: &str) -> Result<Response<Bytes>, Status> {
        let mut request = Request::new(Bytes::from(text.to_owned()));
        request.metadata_mut().insert("oc-client", "somebody".parse().expect("a value"));
        self.unary(request).await
    }

    /// A call of a method that does not exist.
    pub async fn unknown(&self) -> Result<Response<Bytes>, Status> {
        self.ready().await.unary(Request::new(Bytes::new()), path("Unknown"), Plain).await
    }

    pub async fn server_stream(&self, text: &str) -> Result<Streaming<Bytes>, Status> {
        let request = Request::new(Bytes::from(text.to_owned()));
        let answer = self.ready().await.server_streaming(request, path("ServerStream"), Plain).await;
        answer.map(Response::into_inner)
    }

    pub async fn client_stream(
        &self,
        messages: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Response<Bytes>, Status> {
        self.ready().await.client_streaming(Request::new(messages), path("ClientStream"), Plain).await
    }

    pub async fn both(
        &self,
        messages: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<Bytes>, Status> {
        let answer = self.ready().await.streaming(Request::new(messages), path("Both"), Plain).await;
        answer.map(Response::into_inner)
    }
}

fn path(method: &str) -> http::uri::PathAndQuery {
    format!("/echo.Echo/{method}").parse().expect("a path")
}

/// Receives all messages of a stream.
pub async fn streamed(mut stream: Streaming<Bytes>) -> Streamed {
    let mut messages = Vec::new();
    let end = loop {
        match stream.message().await {
            Ok(Some(message)) => messages.push(String::from_utf8_lossy(&message).into_owned()),
            Ok(None) => break stream.trailers().await,
            Err(status) => break Err(status),
        }
    };
    Streamed { messages, end }
}

/// A stream of the values that are sent into it.
pub fn channel() -> (tokio::sync::mpsc::Sender<Bytes>, Pin<Box<dyn Stream<Item = Bytes> + Send>>) {
    let (send, receive) = tokio::sync::mpsc::channel(8);
    (send, Box::pin(ReceiverStream::new(receive)))
}
