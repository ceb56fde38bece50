//! What policies are compiled to.

use super::bots::BotsConfig;
use super::custom_rules::CustomRule;
use super::scrubbing::Scrubbing;
use crate::waf::bodies::reader::BodySettings;
use crate::waf::policy::compiled::Policy;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What happens with what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WafMode {
    /// It is logged.
    Detection,
    /// Requests are blocked.
    Prevention,
}

impl WafMode {
    /// The name in the document and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detection => "Detection",
            Self::Prevention => "Prevention",
        }
    }
}

/// The response to a blocked request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockReply {
    /// The status; none for that of the error code.
    pub status: Option<u16>,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// The body; none for a problem body.
    pub body: Option<String>,
}

/// How request bodies are inspected.
#[derive(Clone, Copy, Debug)]
pub struct BodyConfig {
    /// Whether bodies are inspected.
    pub is_inspected: bool,
    /// How they are parsed.
    pub settings: BodySettings,
    /// Whether a body that is too long is rejected; otherwise the rest is not inspected.
    pub refuses_oversize: bool,
    /// The bytes of all files of a multipart body.
    pub max_file_bytes: u64,
}

/// Which responses are inspected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseConfig {
    /// The bytes at the beginning of a body that are inspected.
    pub inspect_limit: usize,
    /// The media types whose bodies are inspected.
    pub content_types: Vec<String>,
}

/// A compiled policy.
#[derive(Clone)]
pub struct WafPolicyConfig {
    /// The name.
    pub name: String,
    /// What happens with what is found.
    pub mode: WafMode,
    /// The paranoia level that counts.
    pub level: u8,
    /// The score at which a request is blocked.
    pub threshold: i64,
    /// The managed rules and the rules of files.
    pub rules: Arc<Policy>,
    /// The custom rules, by priority.
    pub custom_rules: Arc<[CustomRule]>,
    /// The position of the first custom rule that runs after authentication, because it reads the body or claims.
    pub first_late_rule: usize,
    /// Clients that are bots.
    pub bots: Option<Arc<BotsConfig>>,
    /// Request bodies.
    pub body: BodyConfig,
    /// Responses; none if they are not inspected.
    pub response: Option<ResponseConfig>,
    /// Whether a request is rejected when the engine fails.
    pub refuses_on_error: bool,
    /// The response to a blocked request.
    pub reply: BlockReply,
    /// What the log does not contain.
    pub scrubbing: Arc<Scrubbing>,
    /// The engine.
    pub engine: Arc<WafEngineConfig>,
    /// The settings as written, to compare two plans.
    pub fingerprint: String,
}

impl fmt::Debug for WafPolicyConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, mode, engine, fingerprint, .. } = self;
        let settings = (name, mode, engine, fingerprint);
        write!(formatter, "WafPolicyConfig{settings:?}")
    }
}

/// Where matches are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WafLogTarget {
    /// Nowhere.
    Off,
    /// The standard output.
    Stdout,
    /// A file.
    File(std::path::PathBuf),
}

/// The engine that all policies share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WafEngineConfig {
    /// The threads for long evaluations.
    pub threads: usize,
    /// The evaluations that may wait.
    pub queue_limit: usize,
    /// How long one may wait.
    pub queue_timeout: Duration,
    /// Whether a request is rejected when the queue is full; otherwise it is not inspected.
    pub refuses_on_overload: bool,
    /// Where matches are logged.
    pub log: WafLogTarget,
    /// What the rules are, for status pages and commands.
    pub rules: String,
}
