//! OTLP over HTTP with protobuf.

use super::rejected::rejected;
use crate::{
    base::url::HttpUrl,
    net::{
        http_client::{Client, Request, RequestLimits},
        tls::trust::TrustAnchors,
    },
    telemetry::otlp::{Collector, OtlpConfig},
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use prost::Message;
use tokio::runtime::{Builder, Runtime};

/// Maximum size of a response.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// A collector that is called by HTTP.
pub(super) struct HttpCollector {
    runtime: Runtime,
    client: Client,
    endpoint: HttpUrl,
    headers: Vec<(String, String)>,
    limits: RequestLimits,
}

impl HttpCollector {
    pub(super) fn new(config: &OtlpConfig) -> Result<HttpCollector, String> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let trust = match &config.authorities {
            Some(pem) => TrustAnchors::Custom(pem.clone()),
            None => TrustAnchors::System,
        };
        Ok(HttpCollector {
            runtime,
            client: Client::new(trust),
            endpoint: config.endpoint.clone(),
            headers: config.headers.clone(),
            limits: RequestLimits { timeout: config.timeout, max_body: MAX_RESPONSE_BYTES },
        })
    }

    fn post<R: Message + Default>(&self, path: &str, message: &impl Message) -> Result<R, String> {
        let (url, body) = (self.endpoint.join_path(path), message.encode_to_vec());
        let mut request =
            Request::new("POST", &url).header("Content-Type", "application/x-protobuf").body(&body);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = self.runtime.block_on(self.client.send(&request, self.limits))?;
        if !(200..300).contains(&response.status()) {
            return Err(format!("{url}: the response status is {}", response.status()));
        }
        // Some collectors respond with another or with no message.
        Ok(R::decode(&response.body[..]).unwrap_or_default())
    }
}

impl Collector for HttpCollector {
    fn send_traces(&mut self, request: ExportTraceServiceRequest) -> Result<u64, String> {
        let response: ExportTraceServiceResponse = self.post("v1/traces", &request)?;
        Ok(rejected(response.partial_success.map(|partial| partial.rejected_spans)))
    }

    fn send_metrics(&mut self, request: ExportMetricsServiceRequest) -> Result<u64, String> {
        let response: ExportMetricsServiceResponse = self.post("v1/metrics", &request)?;
        Ok(rejected(response.partial_success.map(|partial| partial.rejected_data_points)))
    }

    fn send_logs(&mut self, request: ExportLogsServiceRequest) -> Result<u64, String> {
        let response: ExportLogsServiceResponse = self.post("v1/logs", &request)?;
        Ok(rejected(response.partial_success.map(|partial| partial.rejected_log_records)))
    }
}
