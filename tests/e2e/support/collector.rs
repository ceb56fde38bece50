//! A stub of the OpenTelemetry Collector: OTLP over HTTP or gRPC, everything received is kept.

use super::tls::Issued;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::Metric,
    trace::v1::Span,
};
use prost::Message;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio_rustls::rustls::{ServerConnection, StreamOwned, crypto::ring};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// What a collector received.
#[derive(Clone, Default)]
pub struct Received(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    spans: Vec<Span>,
    metrics: Vec<Metric>,
    logs: Vec<LogRecord>,
    resources: Vec<KeyValue>,
    tokens: Vec<String>,
}

impl Received {
    pub fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().spans.clone()
    }

    pub fn metrics(&self) -> Vec<Metric> {
        self.0.lock().unwrap().metrics.clone()
    }

    pub fn logs(&self) -> Vec<LogRecord> {
        self.0.lock().unwrap().logs.clone()
    }

    /// The values of the header `x-token`.
    pub fn tokens(&self) -> Vec<String> {
        self.0.lock().unwrap().tokens.clone()
    }

    /// The text of a resource attribute.
    pub fn resource(&self, key: &str) -> Option<String> {
        text(&self.0.lock().unwrap().resources, key)
    }

    fn add_traces(&self, request: ExportTraceServiceRequest) {
        let mut state = self.0.lock().unwrap();
        for of in request.resource_spans {
            state.resources.extend(of.resource.unwrap_or_default().attributes);
            state.spans.extend(of.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }

    fn add_metrics(&self, request: ExportMetricsServiceRequest) {
        let mut state = self.0.lock().unwrap();
        for of in request.resource_metrics {
            state.metrics.extend(of.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
        }
    }

    fn add_logs(&self, request: ExportLogsServiceRequest) {
        let mut state = self.0.lock().unwrap();
        for of in request.resource_logs {
            state.logs.extend(of.scope_logs.into_iter().flat_map(|scope| scope.log_records));
        }
    }
}

/// The text of an attribute.
pub fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match value(attributes, key)? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

/// A collector, and its endpoint.
pub struct Collector {
    pub endpoint: String,
    pub received: Received,
}

impl Collector {
    /// OTLP over HTTP with protobuf.
    pub fn http() -> Collector {
        Collector::http_with(None)
    }

    /// The same over TLS, with a certificate for `localhost`.
    pub fn https(certificate: &Issued) -> Collector {
        Collector::http_with(Some(certificate))
    }

    fn http_with(certificate: Option<&Issued>) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = endpoint(listener.local_addr().unwrap().port(), certificate);
        let received = Received::default();
        let store = received.clone();
        let tls = certificate.map(|certificate| certificate.server(&["http/1.1"], None));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                match &tls {
                    None => serve(stream, &store),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls.clone()).unwrap();
                        serve(StreamOwned::new(connection, stream), &store);
                    }
                }
            }
        });
        Collector { endpoint, received }
    }

    /// OTLP over gRPC.
    pub fn grpc() -> Collector {
        Collector::grpc_with(None)
    }

    /// The same over TLS, with a certificate for `localhost`.
    pub fn secure_grpc(certificate: &Issued) -> Collector {
        Collector::grpc_with(Some(certificate))
    }

    fn grpc_with(certificate: Option<&Issued>) -> Collector {
        let received = Received::default();
        let store = received.clone();
        let mut server = Server::builder();
        if let Some(Issued { chain, key }) = certificate {
            // tonic uses the default of the library, which may be set already.
            let _ = ring::default_provider().install_default();
            let identity = Identity::from_pem(chain, key);
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
        }
        let (sender, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                let services = Services {
                    traces: TraceServiceServer::new(store.clone()),
                    metrics: MetricsServiceServer::new(store.clone()),
                    logs: LogsServiceServer::new(store),
                };
                let incoming = TcpListenerStream::new(listener);
                server.serve_with_incoming(services, incoming).await.unwrap();
            });
        });
        Collector { endpoint: endpoint(address.recv().unwrap().port(), certificate), received }
    }
}

fn endpoint(port: u16, certificate: Option<&Issued>) -> String {
    match certificate {
        Some(_) => format!("https://localhost:{port}"),
        None => format!("http://127.0.0.1:{port}"),
    }
}

/// The services of a collector, by path.
#[derive(Clone)]
struct Services {
    traces: TraceServiceServer<Received>,
    metrics: MetricsServiceServer<Received>,
    logs: LogsServiceServer<Received>,
}

impl Service<http::Request<Body>> for Services {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match request.uri().path() {
            path if path.contains(".TraceService/") => self.traces.call(request),
            path if path.contains(".MetricsService/") => self.metrics.call(request),
            _ => self.logs.call(request),
        }
    }
}

/// One request of a connection.
fn serve(stream: impl Read + Write, store: &Received) {
    let mut reader = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    for line in reader.by_ref().lines().map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            None => path = line.split(' ').nth(1).unwrap_or_default().to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("x-token") => {
                store.0.lock().unwrap().tokens.push(value.to_owned());
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    match path.as_str() {
        "/v1/traces" => store.add_traces(ExportTraceServiceRequest::decode(&body[..]).unwrap()),
        "/v1/metrics" => store.add_metrics(ExportMetricsServiceRequest::decode(&body[..]).unwrap()),
        "/v1/logs" => store.add_logs(ExportLogsServiceRequest::decode(&body[..]).unwrap()),
        // The handshake failed.
        "" => return,
        other => panic!("unexpected path {other}"),
    }
    let response = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    let _ = reader.get_mut().write_all(response);
}

fn keep_token<T>(received: &Received, request: &Request<T>) {
    if let Some(token) = request.metadata().get("x-token") {
        received.0.lock().unwrap().tokens.push(token.to_str().unwrap().to_owned());
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        keep_token(self, &request);
        self.add_traces(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.add_metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Received {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.add_logs(request.into_inner());
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}
