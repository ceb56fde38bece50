//! Settings that need the collector.

use crate::config::{Diagnostics, Span, codes, values::Setting};
use crate::plan::document::Document;
use crate::telemetry::otlp::OtlpConfig;
use std::sync::Arc;

/// What needs the collector.
pub(super) struct Wants<'d> {
    pub(super) document: &'d Document,
    pub(super) collector: Option<&'d Arc<OtlpConfig>>,
}

impl Wants<'_> {
    /// The collector for a setting; an error if there is none.
    pub(super) fn collector(
        &self,
        name: &str,
        setting: &Setting<bool>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<OtlpConfig>> {
        let setting = setting.as_ref().filter(|on| on.value)?;
        self.collector_of(name, setting.span, diagnostics)
    }

    /// The same for a section.
    pub(super) fn collector_of(
        &self,
        name: &str,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<OtlpConfig>> {
        if self.document.otlp.is_none() {
            diagnostics
                .error(codes::NO_OTLP, span, format!("{name} needs an OpenTelemetry collector"))
                .help("add \"Otlp\": { \"Endpoint\": \"http://127.0.0.1:4318\" }");
        }
        self.collector.cloned()
    }
}
