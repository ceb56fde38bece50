//! The settings of a collector.

use crate::base::url::HttpUrl;
use std::{fmt, sync::Arc, time::Duration};

/// The protocol of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    HttpProtobuf,
    Grpc,
}

/// A collector.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    pub endpoint: HttpUrl,
    pub protocol: OtlpProtocol,
    /// Headers of every request; their values may be secrets.
    pub headers: Vec<(String, String)>,
    /// The trusted authorities as PEM; `None`: those of the system.
    pub authorities: Option<Arc<[u8]>>,
    pub timeout: Duration,
    /// Maximum number of traces that wait.
    pub queue_capacity: usize,
    pub service_name: String,
    pub resource_attributes: Vec<(String, String)>,
}

impl fmt::Debug for OtlpConfig {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("OtlpConfig")
            .field("endpoint", &self.endpoint)
            .field("protocol", &self.protocol)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}
