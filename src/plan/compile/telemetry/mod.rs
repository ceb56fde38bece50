//! `AccessLog`, `Tracing`, `Metrics` and `Otlp` → the telemetry of the blueprint.

mod access_log;
mod otlp;
mod wants;

use crate::config::{
    Diagnostics, Spanned, codes, options::GlobalOptions, ranges::RangeChecker, values::value_or_default,
};
use crate::plan::{
    blueprint::telemetry::{MetricsConfig, TelemetryConfig, TracingConfig},
    check::CheckContext,
    document::{MetricsDocument, TraceContextMode, TracingDocument},
};
use crate::stages::access_log::{RecordConfig, record_config};
use crate::telemetry::trace::TraceSampler;
use std::{sync::Arc, time::Duration};
use wants::Wants;

const SECOND: Duration = Duration::from_secs(1);

/// The telemetry of a document.
pub(super) fn telemetry(scope: &CheckContext, diagnostics: &mut Diagnostics) -> TelemetryConfig {
    let document = scope.document;
    let collector = document.otlp.as_ref().and_then(|otlp| otlp::collector(scope, otlp, diagnostics));
    let collector = collector.map(Arc::new);
    let wants = Wants { document, collector: collector.as_ref() };
    TelemetryConfig {
        access_logs: access_log::access_logs(scope, &wants, diagnostics),
        record: default_record(scope),
        tracing: tracing(&wants, diagnostics),
        metrics: metrics(&wants, diagnostics),
    }
}

/// What is logged of requests without a route: the options in `GlobalConfiguration` that apply to all routes.
fn default_record(scope: &CheckContext) -> RecordConfig {
    let global = scope.global.access_log.as_ref();
    let global = global.filter(|options| options.route_keys.as_ref().is_none_or(|keys| keys.is_empty()));
    // The routes, which inherit the options, report invalid ones.
    let reported = &mut Diagnostics::default();
    global.map(|options| record_config(&options.options(), reported)).unwrap_or_default()
}

fn tracing(wants: &Wants, diagnostics: &mut Diagnostics) -> Option<TracingConfig> {
    let Spanned { value: document, span } = wants.document.tracing.as_ref()?;
    let mode = wants.document.trace_context.as_ref();
    if let Some(off) = mode.filter(|mode| mode.value == TraceContextMode::Off) {
        diagnostics
            .error(codes::BAD_TRACING, off.span, "TraceContext is \"Off\", and Tracing is set")
            .help("set TraceContext to \"Continue\" or \"Start\", or remove Tracing");
    }
    let exporter = wants.collector_of("Tracing", *span, diagnostics);
    let slow_stage = RangeChecker::for_code(codes::BAD_TRACING, diagnostics).time(
        "Tracing.SlowStage",
        &document.slow_stage,
        Duration::from_millis(1),
        Duration::ZERO,
        60 * SECOND,
    );
    let sampler = sampler(document, diagnostics);
    Some(TracingConfig { exporter: exporter?, sampler, slow_stage })
}

fn sampler(document: &TracingDocument, diagnostics: &mut Diagnostics) -> TraceSampler {
    let ratio = document.sample_ratio.as_ref();
    if let Some(ratio) = ratio.filter(|ratio| !(0.0..=1.0).contains(&ratio.value)) {
        diagnostics
            .error(codes::BAD_SAMPLE_RATIO, ratio.span, format!("invalid SampleRatio {}", ratio.value))
            .help("must be between 0 and 1");
    }
    let is_parent_based = document.parent_based.as_ref().is_none_or(|on| on.value);
    TraceSampler::new(ratio.map_or(1.0, |ratio| ratio.value), is_parent_based)
}

fn metrics(wants: &Wants, diagnostics: &mut Diagnostics) -> MetricsConfig {
    let nothing = MetricsDocument::default();
    let document = wants.document.metrics.as_ref().map_or(&nothing, |metrics| &metrics.value);
    let exporter = wants.collector("Metrics.Otlp", &document.otlp, diagnostics);
    let mut range = RangeChecker::for_code(codes::BAD_METRICS, diagnostics);
    let (name, default) = ("Metrics.OtlpInterval", 60 * SECOND);
    let interval = range.time(name, &document.otlp_interval, default, SECOND, 3600 * SECOND);
    if let Some(set) = document.otlp_interval.as_ref().filter(|_| !value_or_default(&document.otlp)) {
        diagnostics
            .error(codes::BAD_METRICS, set.span, "OtlpInterval has no effect without Otlp")
            .help("set Metrics.Otlp to true, or remove OtlpInterval");
    }
    MetricsConfig {
        emits_zero: value_or_default(&document.emit_zero),
        has_native_histograms: value_or_default(&document.native_histograms),
        push: exporter.map(|exporter| (exporter, interval)),
    }
}
