//! A gRPC client for calls of the gateway itself (Envoy: `grpc_service`): unary calls over one HTTP/2 connection, which is
//! opened on the first call and again when it is lost.
//!
//! Callers are stages that requests wait for. The connection belongs to the background runtime.

use super::{background::BackgroundRuntime, reserved, tls::client::ClientTls};
use crate::base::url::HttpUrl;
use bytes::Buf;
use hyper_util::rt::TokioIo;
use prost::Message;
use std::{
    fmt, io,
    marker::PhantomData,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::oneshot,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

/// A client of one server.
#[derive(Clone)]
pub struct GrpcClient {
    background: BackgroundRuntime,
    shared: Arc<SharedChannel>,
}

struct SharedChannel {
    url: HttpUrl,
    tls: ClientTls,
    channel: OnceLock<Result<Channel, String>>,
}

impl fmt::Debug for GrpcClient {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "GrpcClient({})", self.shared.url)
    }
}

impl GrpcClient {
    /// A client without a connection; with `https` the server must support HTTP/2 over TLS, with `http` HTTP/2 with prior
    /// knowledge.
    pub fn new(url: HttpUrl, tls: ClientTls, background: BackgroundRuntime) -> GrpcClient {
        GrpcClient { background, shared: Arc::new(SharedChannel { url, tls, channel: OnceLock::new() }) }
    }

    /// Calls a method such as `/package.Service/Method`.
    ///
    /// # Errors
    ///
    /// The reason, without secrets: no connection, no response in time, another status than OK.
    pub async fn unary<Q, R>(&self, method: &'static str, message: Q, timeout: Duration) -> Result<R, String>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let shared = self.shared.clone();
        self.background.spawn(async move {
            let call = tokio::time::timeout(timeout, call::<Q, R>(&shared, method, message));
            let result = call.await.unwrap_or_else(|_| Err(format!("no response within {timeout:?}")));
            let _ = sender.send(result.map_err(|why| format!("{}: {why}", shared.url)));
        });
        receiver.await.unwrap_or_else(|_| Err("the gateway is shutting down".to_owned()))
    }
}

async fn call<Q, R>(shared: &Arc<SharedChannel>, method: &'static str, message: Q) -> Result<R, String>
where
    Q: Message + 'static,
    R: Message + Default + 'static,
{
    let channel = shared.channel.get_or_init(|| connect_lazily(shared)).clone()?;
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| format!("no connection: {}", root_cause(&error)))?;
    let path = http::uri::PathAndQuery::from_static(method);
    match client.unary(Request::new(message), path, ProstCodec::<Q, R>(PhantomData)).await {
        Ok(response) => Ok(response.into_inner()),
        Err(status) => Err(format!("{:?}: {}", status.code(), status.message())),
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn connect_lazily(shared: &SharedChannel) -> Result<Channel, String> {
    let url = &shared.url;
    // The connector does TLS itself; the library would require an https URL to be its own.
    let authority = url.authority();
    let plain = format!("http://{authority}");
    let origin = format!("{}://{authority}", if url.tls { "https" } else { "http" });
    let origin: http::Uri = origin.parse().map_err(|_| "its host is malformed".to_owned())?;
    let endpoint = Endpoint::from_shared(plain).map_err(|error| error.to_string())?.origin(origin);
    let tls = url.tls.then(|| tls_connector(&shared.tls, &url.host)).transpose()?;
    let (host, port) = (url.host.clone(), url.port);
    let connector = tower::service_fn(move |_: http::Uri| open(host.clone(), port, tls.clone()));
    Ok(endpoint.connect_with_connector_lazy(connector))
}

fn tls_connector(tls: &ClientTls, host: &str) -> Result<(TlsConnector, ServerName<'static>), String> {
    let mut config = tls.compile()?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = tls.name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|_| "the host is not a valid server name".to_owned())?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

/// A connection over any transport.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// A connection, unless it would reach the administration.
async fn open(
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
) -> io::Result<TokioIo<Box<dyn Transport>>> {
    let mut last = io::Error::other("the name has no address");
    for address in tokio::net::lookup_host((host.as_str(), port)).await? {
        reserved::check_tcp(address)?;
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(TokioIo::new(match tls {
                    Some((connector, name)) => Box::new(connector.connect(name, stream).await?),
                    None => Box::new(stream),
                }));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Messages in the binary encoding of Protocol Buffers.
struct ProstCodec<Q, R>(PhantomData<(Q, R)>);

impl<Q: Message + 'static, R: Message + Default + 'static> Codec for ProstCodec<Q, R> {
    type Encode = Q;
    type Decode = R;
    type Encoder = ProstEncoder<Q>;
    type Decoder = ProstDecoder<R>;

    fn encoder(&mut self) -> ProstEncoder<Q> {
        ProstEncoder(PhantomData)
    }

    fn decoder(&mut self) -> ProstDecoder<R> {
        ProstDecoder(PhantomData)
    }
}

struct ProstEncoder<Q>(PhantomData<Q>);

impl<Q: Message> Encoder for ProstEncoder<Q> {
    type Item = Q;
    type Error = Status;

    fn encode(&mut self, item: Q, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

struct ProstDecoder<R>(PhantomData<R>);

impl<R: Message + Default> Decoder for ProstDecoder<R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        let message = R::decode(buffer.copy_to_bytes(buffer.remaining()));
        message.map(Some).map_err(|_| Status::internal("the message is malformed"))
    }
}
