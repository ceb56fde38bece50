//! OTLP over gRPC.

use super::rejected::rejected;
use crate::{
    net::reserved,
    telemetry::otlp::{Collector, OtlpConfig},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
    metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
    trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
};
use std::{future::Future, io, time::Duration};
use tokio::{
    net::TcpStream,
    runtime::{Builder, Runtime},
};
use tokio_rustls::rustls::crypto::ring;
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

/// A collector that is called by gRPC.
pub(super) struct GrpcCollector {
    runtime: Runtime,
    channel: Channel,
    metadata: MetadataMap,
    timeout: Duration,
}

impl GrpcCollector {
    pub(super) fn new(config: &OtlpConfig) -> Result<GrpcCollector, String> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let mut endpoint = Endpoint::from_shared(config.endpoint.to_string())
            .map_err(|error| error.to_string())?
            .timeout(config.timeout)
            .connect_timeout(config.timeout);
        if config.endpoint.tls {
            // tonic uses the default of the library, which may be set already.
            let _ = ring::default_provider().install_default();
            let pem = authorities(config.authorities.as_deref())?;
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint = endpoint.tls_config(tls).map_err(|error| error.to_string())?;
        }
        let (host, port) = (config.endpoint.host.clone(), config.endpoint.port);
        let connector = tower::service_fn(move |_: http::Uri| connect(host.clone(), port));
        let channel = {
            let _context = runtime.enter();
            endpoint.connect_with_connector_lazy(connector)
        };
        let (metadata, timeout) = (metadata(&config.headers)?, config.timeout);
        Ok(GrpcCollector { runtime, channel, metadata, timeout })
    }

    fn call<T, R, F>(&self, message: T, export: impl FnOnce(Request<T>) -> F) -> Result<R, String>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        let exported = async { tokio::time::timeout(self.timeout, export(request)).await };
        match self.runtime.block_on(exported) {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(format!("{:?}: {}", status.code(), status.message())),
            Err(_) => Err(format!("no response within {:?}", self.timeout)),
        }
    }
}

impl Collector for GrpcCollector {
    fn send_traces(&mut self, request: ExportTraceServiceRequest) -> Result<u64, String> {
        let mut client = TraceServiceClient::new(self.channel.clone());
        let response = self.call(request, |request| async move { client.export(request).await })?;
        Ok(rejected(response.partial_success.map(|partial| partial.rejected_spans)))
    }

    fn send_metrics(&mut self, request: ExportMetricsServiceRequest) -> Result<u64, String> {
        let mut client = MetricsServiceClient::new(self.channel.clone());
        let response = self.call(request, |request| async move { client.export(request).await })?;
        Ok(rejected(response.partial_success.map(|partial| partial.rejected_data_points)))
    }

    fn send_logs(&mut self, request: ExportLogsServiceRequest) -> Result<u64, String> {
        let mut client = LogsServiceClient::new(self.channel.clone());
        let response = self.call(request, |request| async move { client.export(request).await })?;
        Ok(rejected(response.partial_success.map(|partial| partial.rejected_log_records)))
    }
}

/// A TCP connection, unless it would reach the administration.
async fn connect(host: String, port: u16) -> io::Result<TokioIo<TcpStream>> {
    let mut last = io::Error::other("the name has no address");
    for address in tokio::net::lookup_host((host.as_str(), port)).await? {
        reserved::check_tcp(address)?;
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(TokioIo::new(stream)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn metadata(headers: &[(String, String)]) -> Result<MetadataMap, String> {
    let mut metadata = MetadataMap::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let key: MetadataKey<Ascii> =
            name.parse().map_err(|_| format!("`{name}` is not the name of gRPC metadata"))?;
        let mut value: MetadataValue<Ascii> =
            value.parse().map_err(|_| format!("the value of `{name}` is not printable ASCII"))?;
        value.set_sensitive(true);
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// The trusted authorities as PEM: the configured ones, or those of the system.
fn authorities(configured: Option<&[u8]>) -> Result<Vec<u8>, String> {
    if let Some(pem) = configured {
        return Ok(pem.to_vec());
    }
    let mut pem = String::new();
    let system = rustls_native_certs::load_native_certs().map_err(|error| error.to_string())?;
    for certificate in system {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        pem.push_str(&STANDARD.encode(&certificate));
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    Ok(pem.into_bytes())
}
