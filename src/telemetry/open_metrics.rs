//! The OpenMetrics text format, with exemplars that link latency buckets to traces.

use super::{counters::RouteMetrics, exemplar::Exemplar, metrics::Metrics, protobuf::PROTOBUF};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use std::{
    fmt::{self, Write},
    sync::Arc,
    time::UNIX_EPOCH,
};

/// The content type of the format.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of Prometheus' own text format.
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The family whose buckets have exemplars.
const WITH_EXEMPLARS: &str = "margay_request_duration_seconds";

impl Metrics {
    /// All numbers in the format that an `Accept` field prefers, and its content type.
    pub fn render_for(&self, accept: &str) -> (&'static str, Vec<u8>) {
        if self.has_native_histograms() && accept.contains("application/vnd.google.protobuf") {
            return (PROTOBUF, self.render_protobuf());
        }
        match accept.contains("application/openmetrics-text") {
            true => (OPEN_METRICS, self.render_open_metrics().into_bytes()),
            false => (PROMETHEUS_TEXT, self.render().into_bytes()),
        }
    }

    fn render_open_metrics(&self) -> String {
        let (mut text, routes) = (String::with_capacity(8 * 1024), self.all_routes());
        let families = self.gather();
        for family in &families {
            let written = write_family(&mut text, family, &families, &routes);
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        text.push_str("# EOF\n");
        text
    }
}

fn write_family(
    text: &mut String,
    family: &MetricFamily,
    all: &[MetricFamily],
    routes: &[Arc<RouteMetrics>],
) -> fmt::Result {
    let base = family.name().strip_suffix("_total").unwrap_or(family.name());
    let (kind, name) = match family.get_field_type() {
        // The name of a counter in this format has no suffix, and a gauge may have that name.
        MetricType::COUNTER if all.iter().any(|other| other.name() == base) => ("unknown", family.name()),
        MetricType::COUNTER => ("counter", base),
        MetricType::HISTOGRAM => ("histogram", family.name()),
        _ => ("gauge", family.name()),
    };
    writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {}", Escaped(family.help()))?;
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match family.get_field_type() {
            MetricType::COUNTER => {
                let value = metric.get_counter().get_value();
                writeln!(text, "{}{} {value}", family.name(), Labels(labels, None))?;
            }
            MetricType::HISTOGRAM => write_histogram(text, name, metric, routes)?,
            _ => writeln!(text, "{name}{} {}", Labels(labels, None), metric.get_gauge().get_value())?,
        }
    }
    Ok(())
}

fn write_histogram(
    text: &mut String,
    name: &str,
    metric: &Metric,
    routes: &[Arc<RouteMetrics>],
) -> fmt::Result {
    let (labels, histogram) = (metric.get_label(), metric.get_histogram());
    let route = labels.iter().find(|label| label.name() == "route").map_or("", |label| label.value());
    let of = routes.iter().find(|known| name == WITH_EXEMPLARS && known.label() == route);
    let exemplars = of.map(|route| route.exemplars()).unwrap_or_default();
    let bounds =
        histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let all = bounds.chain([(f64::INFINITY, histogram.get_sample_count())]);
    for ((bound, count), exemplar) in all.zip(exemplars) {
        write!(text, "{name}_bucket{} {count}", Labels(labels, Some(bound)))?;
        if let Some(exemplar) = exemplar {
            write_exemplar(text, &exemplar)?;
        }
        text.push('\n');
    }
    writeln!(text, "{name}_sum{} {}", Labels(labels, None), histogram.get_sample_sum())?;
    writeln!(text, "{name}_count{} {}", Labels(labels, None), histogram.get_sample_count())
}

fn write_exemplar(text: &mut String, exemplar: &Exemplar) -> fmt::Result {
    let time = exemplar.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let value = exemplar.duration.as_secs_f64();
    write!(text, " # {{trace_id=\"{}\"}} {value} {:.3}", exemplar.trace_id, time.as_secs_f64())
}

/// Labels in braces, with the bound of a bucket.
struct Labels<'l>(&'l [LabelPair], Option<f64>);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.0.is_empty() && self.1.is_none() {
            return Ok(());
        }
        let mut separator = '{';
        for label in self.0 {
            write!(f, "{separator}{}=\"{}\"", label.name(), Escaped(label.value()))?;
            separator = ',';
        }
        match self.1 {
            Some(bound) if bound.is_infinite() => write!(f, "{separator}le=\"+Inf\"}}"),
            Some(bound) => write!(f, "{separator}le=\"{bound:?}\"}}"),
            None => f.write_char('}'),
        }
    }
}

/// A text with escaped quotes, backslashes and line breaks.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RequestEnd, TraceId};
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_format_has_exemplars_of_traced_requests() {
        let metrics = Metrics::new(1);
        let route = metrics.route("a\"b");
        route.begin(0);
        let (duration, trace) = (Duration::from_millis(2), Some(TraceId(7)));
        route.end(0, &RequestEnd { status: 200, duration, trace, ..RequestEnd::default() });
        let (content_type, text) =
            metrics.render_for("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3");
        let text = String::from_utf8(text).unwrap();
        assert_eq!(content_type, OPEN_METRICS);
        let bucket = "margay_request_duration_seconds_bucket{route=\"a\\\"b\",le=\"0.0025\"} 1 \
                      # {trace_id=\"00000000000000000000000000000007\"} 0.002 ";
        assert!(text.contains(bucket), "{text}");
        assert_eq!(text.matches("trace_id").count(), 1);
        assert!(text.contains("# TYPE margay_requests counter\n"));
        assert!(text.contains("margay_requests_total{status_class=\"2xx\",route=\"a\\\"b\"} 1\n"));
        assert!(text.contains("# TYPE margay_http2_streams gauge\n# HELP"));
        assert!(text.contains("# TYPE margay_http2_streams_total unknown\n# HELP"));
        assert!(text.contains("le=\"1.0\"} 1\n") && text.contains("le=\"+Inf\"} 1\n"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn other_clients_get_the_text_format_without_exemplars() {
        let metrics = Metrics::new(1);
        let (content_type, text) = metrics.render_for("*/*");
        assert_eq!(content_type, PROMETHEUS_TEXT);
        assert!(!text.ends_with(b"# EOF\n"));
    }
}
